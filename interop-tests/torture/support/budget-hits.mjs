// What programs of hosts take from one strict limit while networks and clocks fail them, and the checker that sees the hits of all hosts.
import { join } from "node:path";
import { Inquiry } from "./inquiry.mjs";

const LIMIT = 300;
const WINDOW_MS = 1000;
const LEASE_MS = 500;

export class BudgetHits {
  #inquiries;
  /** The hits of the last window, as the programs have answered them: { asked, count }. */
  #recent = [];
  #count = 0;
  #exceeded = 0;
  #worked = false;
  #hadHits = new Set();

  /** `programs` run host_program.mjs, each on its host. */
  constructor(folder, programs) {
    this.folder = folder;
    this.#inquiries = programs.map((program, i) => {
      const question = `hits ${this.#path(i + 1)}`;
      return new Inquiry(program, question, ([count], asked) => this.#note(i + 1, count, asked));
    });
  }

  #path(host) {
    return join(this.folder, `budget-${host}`);
  }

  /** What the configuration of a host's node needs. */
  config(host, nodeOf, backend) {
    const nodes = this.#inquiries.map((_, i) => `'${nodeOf(i + 1)}'`).join(", ");
    const limits = `limit => ${LIMIT}, window => ${WINDOW_MS}, lease => ${LEASE_MS}`;
    const options = `nodes => [${nodes}], options => [{backend, ${backend}}]`;
    return [`{budget, #{name => strict, folder => "${this.#path(host)}", ${limits}, ${options}}}.`];
  }

  /** The hosts' programs at work: called again and again while the network fails. */
  work() {
    this.#worked = true;
    this.#take();
  }

  #take() {
    for (const inquiry of this.#inquiries) inquiry.ask();
  }

  /** The hits were taken between the question and now. Those that were asked for within the window are surely in it. */
  #note(host, count, asked) {
    if (count === 0) return;
    const begin = performance.now() - WINDOW_MS;
    this.#count += count;
    this.#hadHits.add(host);
    this.#recent.push({ asked, count });
    this.#recent = this.#recent.filter((each) => each.asked > begin);
    const sum = this.#recent.reduce((total, each) => total + each.count, 0);
    this.#exceeded += Math.max(0, sum - LIMIT);
  }

  /** Whether every host gets hits again. */
  isSettled() {
    if (this.#worked) this.#hadHits.clear();
    this.#worked = false;
    this.#take();
    return this.#hadHits.size === this.#inquiries.length;
  }

  /** How many hits there were, how many hosts get none any more, and how many hits were beyond the limit. */
  verdict() {
    return {
      what: "hits",
      count: this.#count,
      lost: this.#inquiries.length - this.#hadHits.size,
      doubled: this.#exceeded,
    };
  }

  close() {}
}
