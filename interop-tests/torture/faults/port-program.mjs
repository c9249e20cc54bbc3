// A client does to a port program what it can: it leaves at any moment, sends bad or too long frames, does not read, asks a lot
// at once.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { atom, encode, Tuple, tuple } from "emmap/etf";
import { inTurn } from "../support/in_turn.mjs";
import { frameOf, withPort } from "../support/port_client.mjs";
import { resourcesOf } from "../support/proc.mjs";

export const title = "port programs whose clients leave, stop reading, or send too much";
export const shortSeconds = 0;

const FRAME_LIMIT = 2 ** 30;
const MEGABYTE = 2 ** 20;
const REQUESTS = 10_000;
/** The memory that a program may take beyond the frames that have come. */
const MODEST = 32 * MEGABYTE;
const GIVE_UP_MS = 30_000;

const list = (...names) => names.map((each) => (typeof each === "string" ? atom(each) : each));
const path = (folder, name) => Buffer.from(join(folder, name));
const isOk = (result) => result === atom("ok");

/** The faults, with their names in the table. Each resolves to a list of what went wrong. */
const FAULTS = {
  "input ends between frames": endOfInput,
  "input ends within a frame": endWithinFrame,
  "frames said to be 2 GiB": claimedFrames,
  "frames of 1 GiB": realFrames,
  "reader stops and goes on": stoppedReader,
  "reader stops and leaves": leavingReader,
  "10,000 requests at once": pipelined,
  "SIGTERM at work": terminated,
};

export const run = (how) =>
  inTurn(FAULTS, { runtime: "port program", titleOf: (name) => `port program: ${name}` }, how);

/** Notes an error if the condition does not hold. */
function notes() {
  const wrong = [];
  return { wrong, expect: (what, right) => void (right || wrong.push(what)) };
}

async function openFile(client, name, size, ...options) {
  const opened = await client.call(
    atom("open"),
    name,
    list("read", "write", "create", "shared", tuple(atom("size"), size), ...options),
  );
  if (!(opened instanceof Tuple) || !isOk(opened.elements[0]))
    throw new Error(`not opened: ${String(opened)}`);
  return opened.elements[1];
}

/** Every whole request is answered, and the files are closed: a file with auto_unlink is gone. */
async function endOfInput(folder) {
  const { wrong, expect } = notes();
  const rounds = 20;
  for (let round = 0; round < rounds; round++)
    await withPort(async (client) => {
      const name = path(folder, "unlinked");
      const handle = await openFile(client, name, 8, "auto_unlink");
      for (let i = 0; i < 100; i++) void client.request(i, atom("patomic_add"), handle, 0, 1);
      client.endInput();
      for (let i = 0; i < 100; i++) {
        const reply = await client.next();
        expect(`reply ${i} of 100`, reply?.elements[0] === i && isOk(reply.elements[1].elements[0]));
      }
      expect("status 0", (await client.ended) === 0);
      expect("the file is closed", !existsSync(name));
    });
  return { hits: rounds, wrong };
}

async function endWithinFrame(folder) {
  const { wrong, expect } = notes();
  const name = path(folder, "within");
  const frame = frameOf(tuple(1, tuple(atom("pwrite"), 0, 0, Buffer.alloc(100))));
  const cuts = [1, 3, 4, 5, 50, frame.length - 1];
  for (const cut of cuts)
    await withPort(async (client) => {
      const handle = await openFile(client, name, 8, "auto_unlink");
      void client.request(1, atom("patomic_add"), handle, 0, 1);
      void client.write(frame.subarray(0, cut));
      client.endInput();
      expect("the request before is answered", isOk((await client.next())?.elements[1].elements[0]));
      expect("status 2", (await client.ended) === 2);
      expect("it says why", client.errors.includes("bad frame"));
      expect("the file is closed", !existsSync(name));
    });
  return { hits: cuts.length, wrong };
}

/** A frame's claimed length costs no memory: the frame is refused, or its bytes are awaited first. */
async function claimedFrames() {
  const { wrong, expect } = notes();
  const claim = (length) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(length);
    return bytes;
  };
  const refused = [FRAME_LIMIT + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
  for (const length of refused)
    await withPort(async (client) => {
      void client.write(claim(length));
      expect(`${length} bytes are refused`, (await client.ended) === 2);
    });
  await withPort(async (client) => {
    const before = resourcesOf(client.pid);
    await client.write(claim(FRAME_LIMIT));
    await bytesRead(client.pid, 8);
    const now = resourcesOf(client.pid);
    expect("no memory is taken for what has not come", now.addressSpace - before.addressSpace < MODEST);
    client.endInput();
    expect("status 2", (await client.ended) === 2);
  });
  return { hits: refused.length + 1, wrong };
}

const count = (pid, name) =>
  Number(new RegExp(`^${name}: (\\d+)`, "m").exec(readFileSync(`/proc/${pid}/io`, "utf8"))[1]);

/** Resolves when the process has read so many bytes in all. */
async function bytesRead(pid, bytes) {
  await until(() => count(pid, "rchar") >= bytes);
}

async function until(condition) {
  for (const end = Date.now() + GIVE_UP_MS; !condition(); await sleep(5))
    if (Date.now() > end) throw new Error(`in vain: ${condition}`);
}

/** The longest frames in both directions. */
async function realFrames() {
  const { wrong, expect } = notes();
  const piece = Buffer.alloc(MEGABYTE, "x");
  /** A pwrite whose frame has so many bytes. */
  const send = async (client, handle, length) => {
    const head = encode(tuple(1, tuple(atom("pwrite"), handle, 0, Buffer.alloc(0))));
    const data = length - head.length;
    head.writeUInt32BE(data, head.length - 4);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    await client.write(Buffer.concat([header, head]));
    for (let left = data; left > 0; left -= piece.length)
      await client.write(piece.subarray(0, Math.min(left, piece.length)));
    return data;
  };
  await withPort(async (client) => {
    const handle = await openFile(client, Buffer.alloc(0), FRAME_LIMIT, "anon");
    const sent = await send(client, handle, FRAME_LIMIT);
    const reply = await client.next();
    expect("a frame of 1 GiB is taken", reply !== null && isOk(reply.elements[1]));
    const answer = await client.call(atom("pread"), handle, 0, sent);
    expect("and read back in a frame as long", answer > sent && answer <= FRAME_LIMIT);
    const more = await client.call(atom("pread"), handle, 0, FRAME_LIMIT);
    expect("more than a frame is emsgsize", more?.elements?.[1] === atom("emsgsize"));
    expect("it goes on", isOk((await client.call(atom("pread"), handle, sent - 1, 1)).elements[0]));
    // The mapping is left, but not the memory in which the frames were gathered.
    await until(() => resourcesOf(client.pid).memory < FRAME_LIMIT + MODEST);
  });
  return { hits: 4, wrong };
}

/** Many times the replies that a pipe holds, to a client that does not read them. */
async function flood(client, handle) {
  client.pause();
  const request = frameOf(tuple(7, tuple(atom("pread"), handle, 0, 100_000)));
  void client.write(Buffer.concat(Array.from({ length: REQUESTS }, () => request)));
  // The program waits for its reader, and takes no more requests meanwhile.
  let written = -1;
  await until(() => {
    const before = written;
    written = count(client.pid, "wchar");
    return (
      written > 0 &&
      written === before &&
      /^\d+ \(.*\) S/.test(readFileSync(`/proc/${client.pid}/stat`, "utf8"))
    );
  });
}

async function stoppedReader(folder) {
  const { wrong, expect } = notes();
  await withPort(async (client) => {
    const handle = await openFile(client, path(folder, "flood"), 100_000);
    await flood(client, handle);
    expect("what is not read is not kept", resourcesOf(client.pid).memory < MODEST);
    client.resume();
    let answered = 0;
    for (let i = 0; i < REQUESTS; i++) if ((await client.next())?.elements[0] === 7) answered++;
    expect(`${answered} of ${REQUESTS} are answered`, answered === REQUESTS);
    client.endInput();
    expect("status 0", (await client.ended) === 0);
  });
  return { hits: 1, wrong };
}

async function leavingReader(folder) {
  const { wrong, expect } = notes();
  const rounds = 5;
  for (let round = 0; round < rounds; round++)
    await withPort(async (client) => {
      const name = path(folder, "left");
      const handle = await openFile(client, name, 100_000, "auto_unlink");
      await flood(client, handle);
      client.leave();
      expect("status 0", (await client.ended) === 0);
      expect("the file is closed", !existsSync(name));
    });
  return { hits: rounds, wrong };
}

async function pipelined(folder) {
  const { wrong, expect } = notes();
  await withPort(async (client) => {
    const handle = await openFile(client, path(folder, "pipelined"), 8);
    const before = await client.call(atom("patomic_load"), handle, 0);
    const start = Number(before.elements[1]);
    const requests = Array.from({ length: REQUESTS }, (_, i) =>
      frameOf(tuple(i, tuple(atom("patomic_add"), handle, 0, 1))),
    );
    void client.write(Buffer.concat(requests));
    for (let i = 0; i < REQUESTS; i++) {
      const reply = await client.next();
      const [id, result] = reply?.elements ?? [];
      if (id !== i || Number(result.elements[1]) !== start + i) {
        expect(`reply ${i}`, false);
        break;
      }
    }
  });
  return { hits: REQUESTS, wrong };
}

/** Every answered change is in the file, whatever ends the program. */
async function terminated(folder) {
  const { wrong, expect } = notes();
  const rounds = 10;
  const name = path(folder, "terminated");
  let least = 0;
  let most = 0;
  for (let round = 0; round < rounds; round++)
    await withPort(async (client) => {
      const handle = await openFile(client, name, 8);
      const request = frameOf(tuple(7, tuple(atom("patomic_add"), handle, 0, 1)));
      void client.write(Buffer.concat(Array.from({ length: REQUESTS }, () => request)));
      most += REQUESTS;
      for (let answered = 0; ; answered++) {
        if (answered === 100 * (round + 1)) client.signal("SIGTERM");
        if ((await client.next()) === null) break;
        least++;
      }
      expect("it ends of SIGTERM, or was done", ["SIGTERM"].includes(await client.ended));
    });
  const value = readFileSync(name).readBigInt64LE();
  rmSync(name);
  expect(`${value} of ${least} answered additions`, value >= least && value <= most);
  return { hits: rounds, wrong };
}
