import { DOORS, Testee } from "./testee.mjs";

/** Faults that a testee runs into, one by one, and its answers. */
export class Examination {
  #row;
  #say;
  testee;

  /** Adds what it finds to `row`. */
  constructor(row, testee, say) {
    this.#row = row;
    this.testee = testee;
    this.#say = say;
  }

  /** A request that hits a fault, and the right answer: a text or a pattern. */
  async fault(request, expected) {
    const answer = await this.testee.ask(request);
    this.#row.hits++;
    if (matches(answer, expected)) this.#row.survived++;
    else this.#complain(`${short(request)}: ${short(answer)}, and not ${short(String(expected))}`);
  }

  /** A request that must work as if there were no fault. */
  async fine(request, expected = /^ok/) {
    const answer = await this.testee.ask(request);
    if (!matches(answer, expected)) this.lose(`${short(request)}: ${short(answer)}`);
    return answer;
  }

  /** Notes that something is missing, or is not as it was. */
  lose(what) {
    this.#row.lost++;
    this.#complain(what);
  }

  #complain(what) {
    this.#say(`${this.#row.runtime}: ${what}`);
  }
}

const matches = (answer, expected) =>
  typeof expected === "string" ? answer === expected : expected.test(answer);
const short = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);

/** A row for each door. `examine(examination)` examines one testee after the other for so many seconds. */
export async function examineAll(fault, { seconds, say }, optionsOf, examine) {
  const doors = Object.keys(DOORS);
  const rows = [];
  for (const door of doors) {
    const end = Date.now() + (1000 * seconds) / doors.length;
    const row = { fault, runtime: DOORS[door], hits: 0, survived: 0, lost: 0, worstWaitMs: null };
    let rounds = 0;
    do {
      const examination = new Examination(row, new Testee(door, optionsOf()), say);
      await examine(examination);
      const how = await examination.testee.finish();
      if (how !== 0) examination.lose(`ended with ${how}`);
      rounds++;
    } while (Date.now() < end);
    say(`${row.runtime}: ${row.hits} times, in ${rounds} processes one after the other`);
    rows.push(row);
  }
  return rows;
}
