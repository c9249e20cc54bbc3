// What hosts take from one strict limit while a network fails them, and the checker that sees the hits of all hosts.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openBudget } from "emmap";

const LIMIT = 300;
const WINDOW_MS = 1000;
const LEASE_MS = 500;

export class BudgetHits {
  #hosts;
  #budgets = [];
  /** The times of all hits of the last window. */
  #recent = [];
  #count = 0;
  #exceeded = 0;
  #worked = false;
  #hadHits = new Set();

  constructor(folder, hosts) {
    this.folder = folder;
    this.#hosts = hosts;
  }

  #path(host) {
    return join(this.folder, `budget-${host}`);
  }

  /** What the configuration of a host's node needs. */
  config(host, nodeOf, backend) {
    const nodes = Array.from({ length: this.#hosts }, (_, i) => `'${nodeOf(i + 1)}'`).join(", ");
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
    for (let host = 1; host <= this.#hosts; host++) {
      if (this.#budgets[host] === undefined) {
        if (!existsSync(join(this.#path(host), "leased.bin"))) continue;
        this.#budgets[host] = openBudget(this.#path(host));
      }
      while (this.#budgets[host].hit()) this.#note(host);
    }
  }

  #note(host) {
    const now = performance.now();
    this.#count++;
    this.#hadHits.add(host);
    this.#recent.push(now);
    while (this.#recent[0] <= now - WINDOW_MS) this.#recent.shift();
    if (this.#recent.length > LIMIT) this.#exceeded++;
  }

  /** Whether every host gets hits again. */
  isSettled() {
    if (this.#worked) this.#hadHits.clear();
    this.#worked = false;
    this.#take();
    return this.#hadHits.size === this.#hosts;
  }

  /** How many hits there were, how many hosts get none any more, and how many hits were beyond the limit. */
  verdict() {
    return {
      what: "hits",
      count: this.#count,
      lost: this.#hosts - this.#hadHits.size,
      doubled: this.#exceeded,
    };
  }

  close() {
    for (const budget of this.#budgets) budget?.close();
  }
}
