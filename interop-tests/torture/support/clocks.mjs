// The checker of hosts' clocks: programs see the clocks that their host has, and by its wall clock their node's signs of life.
import { join } from "node:path";
import { Inquiry } from "./inquiry.mjs";

/** A node gives a sign of life each second, and the machine is busy. */
const OLDEST_BEAT_MS = 5000;
/** How far two looks at one clock may be apart. */
const BETWEEN_MS = 2000;

const isNear = (one, other) => Math.abs(one - other) <= BETWEEN_MS;

export class Clocks {
  #inquiries;
  #isRight = [];
  #count = 0;

  /** `programs` run host_program.mjs, each on a host with these clocks. */
  constructor(folder, programs, clocks) {
    this.#inquiries = programs.map((program, i) => {
      const question = `clocks ${join(folder, `counts-${i + 1}`)}`;
      return new Inquiry(program, question, (answer) => this.#note(i, clocks[i], answer));
    });
  }

  #note(i, clock, [wall, monotonic, beat]) {
    const now = Date.now() + clock.ahead;
    if (
      !isNear(wall, now) ||
      !isNear(monotonic, Number(process.hrtime.bigint() / 1_000_000n) + clock.monotonicAhead)
    )
      throw new Error(`the clocks of host ${i + 1} are not set`);
    this.#isRight[i] = beat <= now + BETWEEN_MS && now - beat <= OLDEST_BEAT_MS;
    this.#count++;
  }

  /** The nodes' clocks are those of the hosts. */
  config() {
    return [];
  }

  /** A clock that is set between two looks at it would seem wrong. */
  work() {}

  /** Whether the node of every host gives signs of life. */
  isSettled() {
    for (const inquiry of this.#inquiries) inquiry.ask();
    return this.#inquiries.every((_, i) => this.#isRight[i]);
  }

  /** How many looks there were, and how many hosts see no sign of life. */
  verdict() {
    return {
      what: "looks at clocks",
      count: this.#count,
      lost: this.#inquiries.filter((_, i) => !this.#isRight[i]).length,
      doubled: 0,
    };
  }

  close() {}
}
