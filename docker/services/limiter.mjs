import { TENANTS } from "./layout.mjs";

/** The largest share of all requests that a tenant may make, the time between two checks, and the fewest requests. */
const SHARE = 0.4;
const WINDOW_MS = 100;
const ENOUGH = 100;

/** Finds the tenants that make more than their share of requests, from the shared counters. */
export class Limiter {
  #counters;
  #before;
  #next = 0;
  /** The tenants that are over their share. */
  over = [];

  constructor(counters) {
    this.#counters = counters;
    this.#before = this.#read();
  }

  #read() {
    return Array.from({ length: TENANTS }, (_, tenant) => this.#counters.get(tenant));
  }

  /** Reads the counters, if it is time and there are enough requests. */
  look(now) {
    if (now < this.#next) return;
    const requests = this.#read();
    const made = requests.map((count, tenant) => Number(count - this.#before[tenant]));
    const all = made.reduce((sum, count) => sum + count, 0);
    if (all < ENOUGH) return;
    this.over = made.flatMap((count, tenant) => (count > SHARE * all ? [tenant] : []));
    this.#before = requests;
    this.#next = now + WINDOW_MS;
  }

  allows(tenant) {
    return !this.over.includes(tenant);
  }
}
