// Kills and pauses the services of docker/services while they work, in containers or as plain processes.
import { setTimeout as sleep } from "node:timers/promises";

/** A service is in the middle of its work after it has moved this many messages. */
const AT_WORK = 500;
const PAUSE_MS = 3000;

/** The progress of the services, from the lines of `check`. */
export class Progress {
  #messages = new Map();
  #waiting = new Set();
  #ended;

  /** Reads a line of `check`. */
  read(line) {
    const report = /messages so far: (.*)/.exec(line);
    if (report === null) return;
    for (const [, service, count] of report[1].matchAll(/([\w-]+) (\d+)/g))
      this.#messages.set(service, Number(count));
    for (const look of this.#waiting) look();
  }

  /** Ends all waits for progress, with the reason. */
  end(reason) {
    this.#ended = reason;
    for (const look of this.#waiting) look();
  }

  #count(service) {
    return this.#messages.get(service) ?? 0;
  }

  /** Resolves when a service has moved this many more messages. */
  more(service, messages = AT_WORK) {
    const goal = this.#count(service) + messages;
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#count(service) < goal && this.#ended === undefined) return;
        this.#waiting.delete(look);
        if (this.#count(service) >= goal) resolve();
        else reject(new Error(`${this.#ended}, before ${service} had moved ${messages} more messages`));
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/**
 * Kills and restarts each service, `rounds` times, and pauses each once, always in the middle of its work.
 * `party` has the functions: kill(service), which returns when it is dead, start, pause and resume.
 */
export async function makeTrouble(party, services, rounds, progress, say) {
  for (let round = 1; round <= rounds; round++) {
    for (const service of services) {
      await progress.more(service);
      say(`kill -9 of ${service}, ${round} of ${rounds}`);
      await party.kill(service);
      await party.start(service);
    }
  }
  for (const service of services) {
    await progress.more(service);
    say(`${service} is paused for ${PAUSE_MS / 1000} seconds`);
    await party.pause(service);
    await sleep(PAUSE_MS);
    await party.resume(service);
    say(`${service} goes on`);
  }
  for (const service of services) await progress.more(service);
}

/** The last table of `check`: the numbers of each service by their titles. */
export function readTable(lines) {
  const [titles, , ...rows] = lines
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const table = {};
  for (const [service, ...numbers] of rows)
    table[service] = Object.fromEntries(numbers.map((number, i) => [titles[i + 1], Number(number)]));
  return table;
}
