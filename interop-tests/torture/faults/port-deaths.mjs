// A BEAM node, its port program, or both die at work. Nothing hangs, no process is left, every caller has its answer, and the
// files have every change that was answered.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openCounters, openQueue } from "emmap";
import { inTurn } from "../support/in_turn.mjs";
import { descendantsOf, portProgramOf, runs } from "../support/proc.mjs";
import { Peer } from "../support/processes.mjs";

export const title = "BEAM nodes and their port programs that die at work";
export const shortSeconds = 0;

const beside = (name) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const libraries = beside("../../../erlang/_build/default/lib");
const CALLERS = 20;
/** After so many answered pushes a node or program is in the middle of its work. */
const AT_WORK = 200;
const DEATHS_OF_PROGRAM = 5;
const GIVE_UP_MS = 60_000;

const FLOOD = 10_000;

/** The deaths, with their names in the table. Each resolves to the number of deaths, and to the faults found afterwards. */
const DEATHS = {
  "port program killed under 10,000 calls": (folder) => killUnderFlood(folder, true),
  "port program stopped under 10,000 calls, then killed": (folder) => killUnderFlood(folder, false),
  "port program killed with calls in flight": working(killProgram),
  "port program stopped, then killed": working(stopProgram),
  "BEAM node killed": working((users) => endNode(users, () => process.kill(users.peer.pid, "SIGKILL"))),
  "SIGTERM to the group": working((users) => endNode(users, () => process.kill(-users.peer.pid, "SIGTERM"))),
  "input of the BEAM node ends": working((users) => endNode(users, () => users.peer.finish())),
};

export const run = (how) => inTurn(DEATHS, { runtime: "BEAM, port" }, how);

const startNode = () => new Peer("escript", [beside("port_users.escript")], { ERL_LIBS: libraries });

/** A death in the middle of producers' work, and a check of their messages. */
function working(die) {
  return async (folder) => {
    const peer = startNode();
    await peer.ask(`work ${folder} ${CALLERS}`);
    await until("the files are there", () => counted(folder) !== null);
    const { hits, said } = await die({ peer, folder });
    return { hits, said, wrong: examine(folder) };
  };
}

/** Every call is answered, also one that was not done. */
async function killUnderFlood(folder, moving) {
  const peer = startNode();
  const wrong = [];
  let done = 0;
  let died = 0;
  // The kill may come too late.
  for (let floods = 1; died === 0; floods++) {
    await peer.ask(`open ${folder}`);
    const program = portProgramOf(peer.pid);
    const before = counted(folder);
    if (!moving) process.kill(program, "SIGSTOP");
    await peer.ask(`flood ${FLOOD}`);
    if (moving) await until("calls are answered", () => counted(folder) > before + 100);
    else await peer.ask("asked");
    process.kill(program, "SIGKILL");
    [done, died] = (await peer.ask("answers")).split(" ").slice(1).map(Number);
    if (done + died !== FLOOD) wrong.push(`${done} and ${died} of ${FLOOD} calls are answered`);
    const count = counted(folder) - before;
    if (count < done || count > FLOOD) wrong.push(`${done} additions are done, and ${count} counted`);
    if (floods === 10) wrong.push("the program was never killed in time");
    if (floods === 10) break;
  }
  const how = await peer.finish();
  if (how !== 0) wrong.push(`the node ended with ${how}`);
  return { hits: died > 0 ? 1 : 0, said: `${done} calls were done, ${died} answered port_died`, wrong };
}

async function until(what, condition) {
  for (const end = Date.now() + GIVE_UP_MS; !condition(); await sleep(1))
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
}

/** The number of pushes whose answer has been counted; null: there is no file yet. */
function counted(folder) {
  try {
    const counters = openCounters(join(folder, "counters"), 0, { read: true });
    let sum = 0n;
    for (const counter of counters) sum += counter;
    counters.close();
    return Number(sum);
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "EMMAP_CORRUPT") return null;
    throw error;
  }
}

async function atWork(folder) {
  const goal = counted(folder) + AT_WORK;
  await until("they work", () => counted(folder) >= goal);
}

async function killProgram(users) {
  for (let i = 0; i < DEATHS_OF_PROGRAM; i++) {
    await atWork(users.folder);
    process.kill(portProgramOf(users.peer.pid), "SIGKILL");
  }
  return endOfProgram(users);
}

/** Waits until all callers wait for an answer of the program that dies. */
async function stopProgram(users) {
  for (let i = 0; i < DEATHS_OF_PROGRAM; i++) {
    await atWork(users.folder);
    const program = portProgramOf(users.peer.pid);
    process.kill(program, "SIGSTOP");
    await sleep(10); // gives the callers time to ask; nothing depends on it
    process.kill(program, "SIGKILL");
  }
  return endOfProgram(users);
}

async function endOfProgram({ peer, folder }) {
  await atWork(folder);
  const program = portProgramOf(peer.pid);
  const [, calls, died, longest] = (await peer.ask("stop")).split(" ");
  const how = await peer.finish();
  await until("the program ends", () => !runs(program));
  if (how !== 0) throw new Error(`the node ended with ${how}`);
  if (Number(died) < DEATHS_OF_PROGRAM) throw new Error(`only ${died} calls met ${DEATHS_OF_PROGRAM} deaths`);
  return {
    hits: DEATHS_OF_PROGRAM,
    said: `${died} of ${calls} calls were answered port_died, none took longer than ${longest} ms`,
  };
}

async function endNode({ peer, folder }, end) {
  await atWork(folder);
  const all = [peer.pid, ...descendantsOf(peer.pid)];
  const program = portProgramOf(peer.pid);
  if (program === undefined) throw new Error("there is no port program");
  end();
  const how = await peer.ended;
  await until("nothing is left running", () => !all.some(runs));
  return { hits: 1, said: `ended with ${how}, and all of ${all.length} processes with it` };
}

/** The differences between the files and the producers' answers. */
function examine(folder) {
  const wrong = [];
  const counters = openCounters(join(folder, "counters"));
  const queue = openQueue(join(folder, "queue"));
  const pushed = new Map();
  for (let term = queue.pop(null); term !== null; term = queue.pop(null)) {
    const [producer, number] = term.elements;
    const expected = (pushed.get(producer) ?? 0) + 1;
    if (number !== expected) wrong.push(`message ${number} of producer ${producer} in place of ${expected}`);
    pushed.set(producer, number);
  }
  for (let producer = 0; producer < counters.length; producer++) {
    const messages = pushed.get(producer) ?? 0;
    const answered = Number(counters.get(producer));
    // The last push may have been done and not answered, or answered and not counted.
    if (messages !== answered && messages !== answered + 1)
      wrong.push(`${messages} messages of producer ${producer}, who has counted ${answered}`);
  }
  if (pushed.size < CALLERS) wrong.push(`messages of ${pushed.size} producers only`);
  queue.close();
  counters.close();
  return wrong;
}
