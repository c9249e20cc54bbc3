// BEAM nodes and Node processes use a queue and a storage at once, and are killed at random moments, again and again.
// Each process logs its operations. At the end the files must agree with the logs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { judge } from "../support/judge.mjs";
import { portProgramOf, runs } from "../support/proc.mjs";
import { Peer, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { Row } from "../support/rows.mjs";

export const title = "kill -9 at random moments";
export const shortSeconds = 60;

const DOORS = ["node", "nif", "port"];
/** After so many seconds the logs are read, and the files begin anew. */
const EPOCH_SECONDS = 60;
/** A player works for up to so long before it is killed. */
const LONGEST_MS = 300;

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));
const ebin = beside("../../../erlang/_build/default/lib/emmap/ebin");

export function run({ seconds, say }) {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_000);
  say(`SEED=${seed}`);
  return withFolder(async (folder) => {
    execFileSync("erlc", ["-o", folder, beside("../support/player.erl")]);
    const random = randomNumbers(seed);
    const rows = new Map(DOORS.map((door) => [door, new Row("kill -9 at random moments", door)]));
    const end = Date.now() + seconds * 1000;
    do {
      const game = new Game(folder, random, rows, Math.min(end, Date.now() + EPOCH_SECONDS * 1000));
      say(await game.play());
    } while (Date.now() < end);
    return [...rows.values()];
  });
}

class Game {
  #programs; // the compiled programs
  #folder;
  #random;
  #rows;
  #end;
  #players = 0;
  /** By door. */
  #kills = new Map(DOORS.map((door) => [door, 0]));

  constructor(programs, random, rows, end) {
    this.#programs = programs;
    this.#folder = join(programs, "game");
    this.#random = random;
    this.#rows = rows;
    this.#end = end;
    mkdirSync(this.#folder);
  }

  /** Resolves to a line about it. */
  async play() {
    await Promise.all(DOORS.map((door) => this.#killAgainAndAgain(door)));
    const looking = [beside("../support/referee.mjs"), this.#folder];
    const { messages, blocks } = JSON.parse(execFileSync(process.execPath, looking, { maxBuffer: Infinity }));
    const logs = Array.from({ length: this.#players }, (_, id) => [id, this.#log(id)]);
    const { wrong, inTheMiddle, pushed, stored } = judge(logs, messages, blocks);
    rmSync(this.#folder, { recursive: true });
    for (const [door, kills] of this.#kills)
      for (let i = 0; i < kills; i++) this.#rows.get(door).count({ survived: true });
    // The runtime that lost something is not known.
    this.#rows.get("node").lost += wrong.length;
    return [
      `${this.#players} players, of which ${inTheMiddle} were killed in the middle of an operation;`,
      `${pushed} messages, ${stored} blocks, ${wrong.length} wrong ${wrong.slice(0, 10).join("; ")}`,
    ].join(" ");
  }

  async #killAgainAndAgain(door) {
    do {
      const player = new Peer(...this.#command(door, String(this.#players++)));
      // The player writes this line itself when it begins.
      await player.ask("ready");
      await sleep(this.#random(LONGEST_MS));
      await this.#kill(door, player);
    } while (Date.now() < this.#end);
  }

  #command(door, id) {
    if (door === "node")
      return [process.execPath, [beside("../support/player.mjs"), this.#folder, id, String(process.pid)]];
    const run = ["-noshell", "-pa", this.#programs, ebin, "-run", "player", "main", door, this.#folder, id];
    return ["erl", run];
  }

  /** A BEAM node with its port program, or the one or the other alone. */
  async #kill(door, player) {
    const program = door === "port" ? portProgramOf(player.pid) : undefined;
    const [both, alone] = [this.#random(3) === 0, this.#random(2) === 0];
    if (program !== undefined && (both || alone)) process.kill(program, "SIGKILL");
    if (program === undefined || both || !alone) player.signal("SIGKILL");
    const how = await player.ended;
    // A node whose port program has died ends by itself, with status 0.
    if (how !== "SIGKILL" && !(program !== undefined && how === 0))
      throw new Error(`a player ended with ${how}\n${player.errors}`);
    // A port program ends after its node, when it has finished its operation.
    while (program !== undefined && runs(program)) await sleep(1);
    this.#kills.set(door, this.#kills.get(door) + 1);
  }

  #log(id) {
    const path = join(this.#folder, `${id}.log`);
    return existsSync(path) ? readFileSync(path, "latin1") : "";
  }
}
