// What hosts push to each other through relays while a network fails them, and the checker that knows all of it. Other actors of a network
// have the same methods.
import { join } from "node:path";
import { openQueue } from "emmap";

const BURST = 10;

export class Relays {
  #routes;
  #sinks;

  /** Each host sends to the next but one of these pairs: { from, to }, by number. */
  constructor(folder, pairs) {
    this.folder = folder;
    this.#routes = pairs.map(({ from, to }) => ({
      from,
      to,
      pushed: 0,
      got: new Map(),
      queue: openQueue(join(folder, `out-${from}.q`), { values: "json" }),
    }));
    const targets = [...new Set(pairs.map(({ to }) => to))];
    this.#sinks = targets.map((to) => openQueue(join(folder, `jobs-${to}.q`), { values: "json" }));
  }

  /** What the configuration of a host's node needs. */
  config(host, nodeOf, backend) {
    const options = `open_options => [{backend, ${backend}}]`;
    const path = (name) => `"${join(this.folder, name)}"`;
    const relays = this.#routes
      .filter(({ from }) => from === host)
      .map(({ from, to }) => {
        const sizes = "batch => 20, retry => 100";
        return `{relay, #{from => ${path(`out-${from}.q`)}, to => jobs, node => '${nodeOf(to)}', ${sizes}, ${options}}}.`;
      });
    return this.#routes.some(({ to }) => to === host)
      ? [...relays, `{receiver, #{name => jobs, queue => ${path(`jobs-${host}.q`)}, ${options}}}.`]
      : relays;
  }

  /** The hosts' programs at work: called again and again while the network fails. */
  work() {
    for (const route of this.#routes) {
      const { from, pushed } = route;
      route.queue.pushMany(Array.from({ length: BURST }, (_, n) => ({ from, n: pushed + n })));
      route.pushed += BURST;
    }
    this.#receive();
  }

  #receive() {
    for (const sink of this.#sinks)
      for (const { from, n } of sink.popMany(10_000)) {
        const { got } = this.#routes.find((route) => route.from === from);
        got.set(n, (got.get(n) ?? 0) + 1);
      }
  }

  /** Whether all has arrived. */
  isSettled() {
    this.#receive();
    return this.#routes.every(({ pushed, got }) => got.size >= pushed);
  }

  /** How many things there were, and how many are lost, or came twice. */
  verdict() {
    this.#receive();
    let [count, lost, doubled] = [0, 0, 0];
    for (const { pushed, got } of this.#routes) {
      count += pushed;
      lost += pushed - got.size;
      for (const times of got.values()) doubled += times - 1;
    }
    return { what: "messages", count, lost, doubled };
  }

  close() {
    for (const { queue } of this.#routes) queue.close();
    for (const sink of this.#sinks) sink.close();
  }
}
