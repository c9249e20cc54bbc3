// Damage to the live folder of a queue, and the promises of docs/live.md: handles that have the file open go on, newcomers
// are refused or do as the others do, and a folder without users is in no handle's way.
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openQueue } from "emmap";
import { Examination } from "../support/examination.mjs";
import { onDisk, onOverlay, seenBy, withMountsOf } from "../support/mounts.mjs";
import { MEMORY, Peer, withFolder } from "../support/processes.mjs";
import { NotPossible } from "../support/report.mjs";
import { message } from "../support/structures.mjs";
import { DOORS, Testee } from "../support/testee.mjs";

export const title = "removing, replacing, filling, spoiling and shutting the live folder";
export const shortSeconds = 0;

const DOOR_NAMES = Object.keys(DOORS);
const BUSY = "error ebusy";

/** Offsets in `state`, and its size: docs/live.md. */
const VERSION = 8;
const HEAD = 64;
const STATE_SIZE = 135_168;
const SLOTS = 1024;
/** The slots of one page, for which room on the disk is reserved at a time. */
const SLOTS_OF_PAGE = 32;

export async function run({ seconds, say }) {
  const rows = new Rows(say);
  const end = Date.now() + 1000 * seconds;
  do {
    await inPlaces(rows, say);
    await onFullDisks(rows, say);
    await amongUsers(rows, say);
  } while (Date.now() < end);
  return rows.all();
}

class Rows {
  #rows = new Map();
  #say;

  constructor(say) {
    this.#say = say;
  }

  /** Counts the testee's answers in the row of this fault and this door. */
  examine(fault, door, testee) {
    const key = `${fault} ${door}`;
    if (!this.#rows.has(key))
      this.#rows.set(key, { fault, runtime: DOORS[door], hits: 0, survived: 0, lost: 0, worstWaitMs: null });
    return new Examination(this.#rows.get(key), testee, (text) => this.#say(`${fault}: ${text}`));
  }

  all() {
    return [...this.#rows.values()];
  }
}

/** A queue with a live folder: its path for the testees, and its path for this process. */
class Scene {
  path;
  #seen;

  constructor(path, seen = (each) => each) {
    this.path = path;
    this.#seen = seen;
  }

  /** This process's path of a file beside the queue, with the queue's name and this ending. */
  at(ending) {
    return this.#seen(`${this.path}${ending}`);
  }

  get live() {
    return this.at("-live");
  }

  get state() {
    return this.at("-live/state");
  }

  open(...options) {
    return [`queue_open f ${this.path} size=4096 lock_timeout=200`, ...options].join(" ");
  }

  clear() {
    for (const ending of ["", "-live", "-live.old"])
      rmSync(this.at(ending), { recursive: true, force: true });
  }
}

/** Checks that the testee pushes and pops, and that no message is lost. */
async function works(user, number = 7) {
  await user.fine(`queue_push f ${message(number)}`, "ok");
  await user.fine("queue_pop f", `ok ${message(number)}`);
}

async function work(...users) {
  for (const [i, user] of users.entries()) {
    await works(user, i);
    await user.fine(`queue_push f ${message(i)}`, "ok");
    await users[(i + 1) % users.length].fine("queue_pop f", `ok ${message(i)}`);
  }
}

const close = (...users) => Promise.all(users.map((user) => user.fine("close f", "ok")));

// ---- Damage to a folder that all users may use

/** At each of these events `holder` has the queue open, or no process has. `newcomer` comes afterwards. */
const CASES = {
  async removed(scene, holder, newcomer) {
    await holder.fine(scene.open());
    await holder.fine(`queue_push f ${message(1)}`, "ok");
    rmSync(scene.live, { recursive: true });
    await newcomer.fault(scene.open(), BUSY);
    await holder.fine("queue_pop f", `ok ${message(1)}`);
    await holder.fine(`queue_push f ${message(2)}`, "ok");
    await newcomer.fault(scene.open(), BUSY);
    await close(holder);
    await newcomer.fine(scene.open());
    await newcomer.fine("queue_pop f", `ok ${message(2)}`);
    await holder.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
  },

  async replaced(scene, holder, newcomer) {
    await holder.fine(scene.open());
    const old = scene.at("-live.old");
    renameSync(scene.live, old);
    mkdirSync(scene.live);
    await newcomer.fault(scene.open(), BUSY);
    cpSync(join(old, "state"), scene.state);
    await newcomer.fault(scene.open(), BUSY);
    await works(holder);
    rmSync(scene.live, { recursive: true });
    renameSync(old, scene.live);
    await newcomer.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
  },

  async "of another version"(scene, holder, newcomer) {
    await holder.fine(scene.open());
    const right = bytesAt(scene.state, VERSION, 4);
    write(scene.state, VERSION, Buffer.from([99, 0, 0, 0]));
    await newcomer.fault(scene.open(), BUSY);
    await works(holder);
    write(scene.state, VERSION, right);
    await newcomer.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
    // No process uses the folder.
    write(scene.state, VERSION, Buffer.from([99, 0, 0, 0]));
    await newcomer.fault(scene.open(), /^ok/);
    if (!bytesAt(scene.state, VERSION, 4).equals(right))
      newcomer.lose("the state has the other version still");
    await holder.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
  },

  async "truncated in use"(scene, holder, newcomer) {
    await holder.fine(scene.open());
    await holder.fine(`queue_push f ${message(1)}`, "ok");
    truncateSync(scene.state, 0);
    await holder.fault(`queue_push f ${message(2)}`, "error efault");
    await newcomer.fault(scene.open(), BUSY);
    await close(holder);
    await newcomer.fine(scene.open());
    await newcomer.fine("queue_pop f", `ok ${message(1)}`);
    await holder.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
  },

  async "full of garbage in use"(scene, holder, newcomer) {
    await holder.fine(scene.open());
    await holder.fine(`queue_push f ${message(1)}`, "ok");
    const head = bytesAt(scene.state, 0, HEAD);
    write(scene.state, 0, garbage(HEAD));
    await newcomer.fault(scene.open(), BUSY);
    await works(holder, 1);
    write(scene.state, 0, head);
    await holder.fine(`queue_push f ${message(1)}`, "ok");
    // That destroys the lock's words and the slots too: the newcomer may have to wait until its time is over.
    write(scene.state, 0, garbage(STATE_SIZE));
    await holder.fault(`queue_push f ${message(2)}`, /^(ok|error (e?timeout|etimedout|ebusy))$/);
    await newcomer.fault(scene.open(), BUSY);
    await close(holder);
    await newcomer.fault(scene.open(), /^ok/);
    await newcomer.fine("queue_pop f", /^ok/);
    await newcomer.fine("queue_purge f");
    await holder.fine(scene.open());
    await work(holder, newcomer);
    await close(holder, newcomer);
  },

  async "full of garbage that nobody uses"(scene, holder, newcomer) {
    for (const spoil of Object.values(GARBAGE)) {
      await holder.fine(scene.open());
      await holder.fine(`queue_push f ${message(1)}`, "ok");
      await close(holder);
      spoil(scene);
      await newcomer.fault(scene.open(), /^ok/);
      await newcomer.fine("queue_pop f", `ok ${message(1)}`);
      await holder.fine(scene.open());
      await work(holder, newcomer);
      await close(holder, newcomer);
      scene.clear();
    }
  },
};

function reasonOf(open) {
  try {
    open().close();
    return "no error";
  } catch (error) {
    return error.message;
  }
}

const GARBAGE = {
  state: ({ state }) => writeFileSync(state, garbage(STATE_SIZE)),
  head: ({ state }) => write(state, 0, garbage(HEAD)),
  words: ({ state }) => write(state, HEAD, garbage(4096 - HEAD)),
  short: ({ state }) => truncateSync(state, 10),
  empty: ({ state }) => truncateSync(state, 0),
  long: ({ state }) => truncateSync(state, 2 ** 30),
  anotherFile: ({ live }) => writeFileSync(join(live, "notes"), garbage(100)),
  folderForState: ({ state }) => replace(state, () => mkdirSync(state)),
  fifoForState: ({ state }) => replace(state, () => execFileSync("mkfifo", [state])),
  linkForState: ({ state }) => replace(state, () => symlinkSync("/dev/zero", state)),
  fileForFolder: ({ live }) => replace(live, () => writeFileSync(live, "a file")),
  linkForFolder: ({ live }) => replace(live, () => symlinkSync("nowhere", live)),
  fifoForFolder: ({ live }) => replace(live, () => execFileSync("mkfifo", [live])),
};

function replace(path, make) {
  rmSync(path, { recursive: true });
  make();
}

const garbage = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 167 + 91) & 255));

const bytesAt = (path, offset, length) => readFileSync(path).subarray(offset, offset + length);

/** Writes into the file in place: processes that have it mapped see the change. */
function write(path, offset, bytes) {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

/** File systems. Each gives `use` a function that makes scenes in it, and a prefix that runs a command there. */
const PLACES = {
  memory: (use) => withFolder((folder) => use((name) => new Scene(join(folder, name)), []), MEMORY),
  "a temporary folder": (use) => withFolder((folder) => use((name) => new Scene(join(folder, name)), [])),
  "an overlay": (use) =>
    withFolder((folder) =>
      mounted(onOverlay(folder), ({ pid }) =>
        use(
          (name) => new Scene(join(folder, "merged", name), (path) => seenBy(pid, path)),
          withMountsOf(pid),
        ),
      ),
    ),
};

/** This process takes all slots, which takes some time. */
async function withoutSlot(scene, testees, rows) {
  const open = () => openQueue(scene.path, { raw: true });
  const all = Array.from({ length: SLOTS }, open);
  const users = DOOR_NAMES.map((door, i) =>
    rows.examine("a live folder without a free slot", door, testees[i]),
  );
  for (const user of users) await user.fault(scene.open(), "error enospc");
  const reason = reasonOf(open);
  if (!reason.includes(String(SLOTS))) users[0].lose(`the limit is not named: ${reason}`);
  all.pop().close();
  for (const user of users) {
    await user.fine(scene.open());
    await works(user);
    await close(user);
  }
  for (const each of all) each.close();
  scene.clear();
}

/** Gives `use` a process in a mount namespace of its own, if this user may have one. */
async function mounted(wrapper, use) {
  const [command, ...args] = wrapper;
  const tried = spawnSync(command, [...args, "true"], { encoding: "utf8" });
  if (tried.status !== 0) throw new NotPossible(`may not be mounted: ${tried.stderr || tried.error}`.trim());
  const keeper = new Peer(command, [...args, "cat"]);
  try {
    await keeper.ask("mounted?");
    return await use(keeper);
  } finally {
    await keeper.finish();
  }
}

/** Does `part`, and says so if this machine does not allow it. */
async function unlessNotPossible(name, say, part) {
  try {
    await part();
  } catch (error) {
    if (!(error instanceof NotPossible)) throw error;
    say(`${name}: not done, ${error.message}`);
  }
}

async function inPlaces(rows, say) {
  for (const [name, place] of Object.entries(PLACES))
    await unlessNotPossible(name, say, async () => {
      await place(async (sceneOf, wrapper) => {
        const testees = DOOR_NAMES.map((door) => new Testee(door, { wrapper }));
        for (const [what, happens] of Object.entries(CASES))
          for (const [i, door] of DOOR_NAMES.entries()) {
            const scene = sceneOf(`queue-${door}`);
            const fault = `a live folder ${what}`;
            const next = (i + 1) % DOOR_NAMES.length;
            const [holder, newcomer] = [next, i].map((who) => rows.examine(fault, door, testees[who]));
            await happens(scene, holder, newcomer);
            scene.clear();
            await happens(scene, newcomer, holder);
            scene.clear();
          }
        if (place === PLACES.memory) await withoutSlot(sceneOf("queue"), testees, rows);
        await Promise.all(testees.map((testee) => testee.finish()));
      });
      say(`in ${name}`);
    });
}

// ---- Without room

const DISK = 1 << 20;

async function onFullDisks(rows, say) {
  await unlessNotPossible("full disks", say, () =>
    withFolder((folder) =>
      mounted(onDisk(folder, DISK), async ({ pid }) => {
        const testees = DOOR_NAMES.map((door) => new Testee(door, { wrapper: withMountsOf(pid) }));
        const crowd = new Testee("node", { wrapper: withMountsOf(pid) });
        for (const [i, door] of DOOR_NAMES.entries()) {
          const [user, other] = [i, (i + 1) % DOOR_NAMES.length].map((who) =>
            rows.examine("a live folder without room", door, testees[who]),
          );
          const scene = new Scene(join(folder, `queue-${door}`), (path) => seenBy(pid, path));
          await noRoomForFolder(scene, user, other);
          await noRoomForSlot(scene, user, crowd);
        }
        await Promise.all([...testees, crowd].map((testee) => testee.finish()));
        say("on a full disk");
      }),
    ),
  );
}

/** Fills the disk to the last byte. */
function fill(scene) {
  const fd = openSync(scene.at("-filler"), "w");
  try {
    for (;;) writeSync(fd, Buffer.alloc(4096));
  } catch (error) {
    if (error.code !== "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
}

const makeRoom = (scene) => rmSync(scene.at("-filler"));

/** Checks that the kernel's locks serve instead. */
async function noRoomForFolder(scene, user, other) {
  await user.fine(scene.open());
  await user.fine(`queue_push f ${message(1)}`, "ok");
  await close(user);
  rmSync(scene.live, { recursive: true });
  fill(scene);
  await user.fault(scene.open(), /^ok/);
  if (existsSync(scene.state)) user.lose("there was room");
  await user.fine("queue_pop f", `ok ${message(1)}`);
  await other.fault(scene.open(), /^ok/);
  await work(user, other);
  makeRoom(scene);
  // A handle that comes when there is room does as the others.
  await close(other);
  await other.fine(scene.open());
  if (existsSync(scene.state)) other.lose("the live folder is there, and others use the kernel's locks");
  await work(user, other);
  await close(user, other);
  scene.clear();
}

async function openMany(crowd, scene, count) {
  const opened = crowd.askAll(Array.from({ length: count }, (_, i) => scene.open().replace(" f ", ` ${i} `)));
  for (const answer of await Promise.all(opened)) if (!answer.startsWith("ok")) throw new Error(answer);
}

const closeAll = (crowd, count) =>
  Promise.all(crowd.askAll(Array.from({ length: count }, (_, i) => `close ${i}`)));

async function noRoomForSlot(scene, user, crowd) {
  await openMany(crowd, scene, SLOTS_OF_PAGE);
  fill(scene);
  await user.fault(scene.open(), "error enospc");
  makeRoom(scene);
  await user.fine(scene.open());
  await works(user);
  await close(user);
  await closeAll(crowd, SLOTS_OF_PAGE);
  scene.clear();
}

// ---- Users

const GROUP = 61_000;
const STRANGERS = 61_001;
const OWNER = 61_002;
const MEMBER = 61_003;
const STRANGER = 61_004;

const as = (user, group) => ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups"];

async function amongUsers(rows, say) {
  await unlessNotPossible("several users", say, () =>
    withFolder(async (folder) => {
      const own = join(folder, "own");
      mkdirSync(own);
      chmodSync(folder, 0o755);
      chownSync(own, OWNER, GROUP);
      chmodSync(own, 0o2775);
      requireUsers();
      const environment = { HOME: own };
      const owner = new Testee("core", { wrapper: as(OWNER, GROUP), environment });
      for (const door of DOOR_NAMES) {
        const member = new Testee(door, { wrapper: as(MEMBER, GROUP), environment });
        const stranger = new Testee(door, { wrapper: as(STRANGER, STRANGERS), environment });
        const users = [owner, member, stranger].map((testee) =>
          rows.examine("a live folder of another user", door, testee),
        );
        for (const meet of [sameGroup, noPermission, shut, folderAroundIsShut]) {
          const scene = new Scene(join(own, `queue-${door}`));
          await meet(scene, ...users);
          scene.clear();
        }
        await Promise.all([member, stranger].map((testee) => testee.finish()));
      }
      await owner.finish();
      say("among users of two groups");
    }, MEMORY),
  );
}

/** Users other than root, who can read the tested files. */
function requireUsers() {
  const [command, ...args] = [...as(MEMBER, GROUP), "cat", fileURLToPath(import.meta.url)];
  const tried = spawnSync(command, args, { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`other users can't be had here: ${tried.stderr || tried.error}`.trim());
}

const FOR_GROUP = 0o660;
const FOR_ALL = 0o666;

/** Either user may be the first. */
async function sameGroup(scene, owner, member, stranger) {
  for (const [first, second] of [
    [owner, member],
    [member, owner],
  ]) {
    await first.fine(scene.open(`mode=${FOR_GROUP}`));
    await second.fault(scene.open(), /^ok/);
    const { gid, mode } = statSync(scene.state);
    if (gid !== GROUP || (mode & 0o777) !== FOR_GROUP)
      second.lose(`the state has group ${gid}, mode ${mode}`);
    await work(first, second);
    await stranger.fault(scene.open(), "error eacces");
    await close(first, second);
    await second.fine(scene.open());
    await first.fine(scene.open());
    await work(first, second);
    await close(first, second);
    scene.clear();
  }
}

/** A user may write the file, but not the folder, because the file had other rights when the folder was made. */
async function noPermission(scene, owner, member, stranger) {
  await owner.fine(scene.open(`mode=${FOR_GROUP}`));
  chmodSync(scene.path, FOR_ALL);
  await stranger.fault(scene.open(), BUSY);
  await member.fine(scene.open());
  await work(owner, member);
  await close(owner, member);
  // This user can't use the folder. So all use the kernel's locks as long as this user has the file open.
  await stranger.fault(scene.open(), /^ok/);
  await owner.fine(scene.open());
  await work(owner, stranger);
  await close(owner, stranger);
  // The folder's rights follow the file's.
  await owner.fine(scene.open());
  await stranger.fault(scene.open(), /^ok/);
  await work(owner, stranger);
  await close(owner, stranger);
}

/** The file system becomes read-only while the file is in use. */
async function shut(scene, owner, member) {
  await owner.fine(scene.open(`mode=${FOR_GROUP}`));
  chmodSync(scene.state, 0o440);
  await member.fault(scene.open(), BUSY);
  await works(owner);
  chmodSync(scene.state, FOR_GROUP);
  chmodSync(scene.live, 0o700);
  await member.fault(scene.open(), BUSY);
  await works(owner);
  chmodSync(scene.live, 0o555);
  await member.fault(scene.open(), /^ok/);
  await work(owner, member);
  await close(owner, member);
}

/** No process can make a live folder there, and all use the kernel's locks. */
async function folderAroundIsShut(scene, owner, member, stranger) {
  const around = dirname(scene.path);
  await owner.fine(scene.open(`mode=${FOR_ALL}`));
  await close(owner);
  rmSync(scene.live, { recursive: true });
  chownSync(around, 0, 0);
  chmodSync(around, 0o755);
  for (const user of [stranger, member, owner]) await user.fault(scene.open(), /^ok/);
  if (existsSync(scene.live)) owner.lose("the live folder is there");
  await work(owner, member, stranger);
  await close(owner, member, stranger);
  chownSync(around, OWNER, GROUP);
  chmodSync(around, 0o2775);
}
