// What hosts add to the counters of a cluster while a network fails them, and the checker that knows all of it.
import { join } from "node:path";
import { openClusterCounters } from "emmap";

const COUNTERS = 1500;
const ADDITIONS = 20;

export class ClusterCounts {
  #hosts;
  #sums = new Array(COUNTERS).fill(0n);
  #next = 0;
  #ahead = 0;
  #count = 0;

  constructor(folder, hosts) {
    this.folder = folder;
    this.#hosts = Array.from({ length: hosts }, (_, i) => openClusterCounters(this.#path(i + 1), COUNTERS));
  }

  #path(host) {
    return join(this.folder, `counts-${host}`);
  }

  /** What the configuration of a host's node needs. */
  config(host, nodeOf, backend) {
    const nodes = this.#hosts.map((_, i) => `'${nodeOf(i + 1)}'`).join(", ");
    const options = `nodes => [${nodes}], options => [{backend, ${backend}}]`;
    return [
      `{cluster, #{name => counts, folder => "${this.#path(host)}", counters => ${COUNTERS}, ${options}}}.`,
    ];
  }

  /** The hosts' programs at work: called again and again while the network fails. */
  work() {
    for (const counters of this.#hosts)
      for (let i = 0; i < ADDITIONS; i++) {
        // Some counters are hot, others change now and then.
        const index = (this.#next++ * 7919) % (i % 2 === 0 ? 16 : COUNTERS);
        const value = BigInt(1 + (this.#next % 1000));
        counters.add(index, value);
        this.#sums[index] += value;
        this.#count++;
        if (counters.get(index) > this.#sums[index]) this.#ahead++;
      }
  }

  /** How many counters are not right on some host. */
  #wrong() {
    let wrong = 0;
    for (const counters of this.#hosts)
      for (let index = 0; index < COUNTERS; index++) if (counters.get(index) !== this.#sums[index]) wrong++;
    return wrong;
  }

  /** Whether all hosts have all sums. */
  isSettled() {
    return this.#wrong() === 0;
  }

  /** How many additions there were, how many counters lack some, and how often a host was ahead of what was added. */
  verdict() {
    return { what: "additions", count: this.#count, lost: this.#wrong(), doubled: this.#ahead };
  }

  close() {
    for (const counters of this.#hosts) counters.close();
  }
}
