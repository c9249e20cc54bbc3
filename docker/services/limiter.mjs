import { TENANTS } from "./layout.mjs";

/** How much of all requests a tenant may make, and how often that is looked at. */
const SHARE = 0.4;
const WINDOW_MS = 100;
const ENOUGH = 100;

/** Tells by the shared counters of requests which tenants make more than their share. */
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

  /** Looks at the counters, if it is time and there is enough to see. */
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
