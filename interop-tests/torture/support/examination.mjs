import { DOORS, Testee } from "./testee.mjs";

/** Faults that a testee is asked to run into, one by one, and what it made of them. */
export class Examination {
  hits = 0;
  survived = 0;
  lost = 0;
  #fault;
  #door;
  #say;
  testee;

  constructor(fault, door, say, options) {
    this.#fault = fault;
    this.#door = door;
    this.#say = say;
    this.testee = new Testee(door, options);
  }

  /** What hits a fault, and the one answer that is right. */
  async fault(request, expected) {
    const answer = await this.testee.ask(request);
    this.hits++;
    if (answer === expected) this.survived++;
    else this.#complain(`${short(request)}: ${short(answer)}, and not ${short(expected)}`);
  }

  /** What must go on as if nothing had been. */
  async fine(request, expected = /^ok/) {
    const answer = await this.testee.ask(request);
    const right = typeof expected === "string" ? answer === expected : expected.test(answer);
    if (!right) this.lose(`${short(request)}: ${short(answer)}`);
    return answer;
  }

  /** Something that should be there is not, or is not as it was. */
  lose(what) {
    this.lost++;
    this.#complain(what);
  }

  #complain(what) {
    this.#say(`${DOORS[this.#door]}: ${what}`);
  }

  /** Ends the testee; the row for the table. */
  async finish() {
    const how = await this.testee.finish();
    if (how !== 0) this.lose(`ended with ${how}`);
    const { hits, survived, lost } = this;
    this.#say(`${DOORS[this.#door]}: ${hits} times`);
    return { fault: this.#fault, runtime: DOORS[this.#door], hits, survived, lost, worstWaitMs: null };
  }
}

const short = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);

/** A row of each door, made by `examine(examination, door)`, again and again for so many seconds. */
export async function examineAll(fault, { seconds, say }, optionsOf, examine) {
  const doors = Object.keys(DOORS);
  const rows = [];
  for (const door of doors) {
    const end = Date.now() + (1000 * seconds) / doors.length;
    const row = { fault, runtime: DOORS[door], hits: 0, survived: 0, lost: 0, worstWaitMs: null };
    do {
      const examination = new Examination(fault, door, say, optionsOf());
      await examine(examination, door);
      const once = await examination.finish();
      for (const number of ["hits", "survived", "lost"]) row[number] += once[number];
    } while (Date.now() < end);
    rows.push(row);
  }
  return rows;
}
