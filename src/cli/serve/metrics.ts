// The exposition for Prometheus.
import Counter = require("prom-client/lib/counter.js");
import Gauge = require("prom-client/lib/gauge.js");
import Registry = require("prom-client/lib/registry.js");

import { openCounters } from "../../counters.js";
import type { Sample } from "../sample.js";

/** A counters file of more counters shows their number alone. */
const SHOWN = 64;

type Labels = "path" | "kind" | "index";

export class Metrics {
  readonly #registry = new Registry();
  readonly #gauges: [
    gauge: InstanceType<typeof Gauge<Labels>>,
    of: (sample: Sample) => number | undefined,
  ][] = [];
  readonly #totals: [counter: InstanceType<typeof Counter<Labels>>, of: (sample: Sample) => number][] = [];
  readonly #values: InstanceType<typeof Gauge<Labels>>;

  constructor() {
    const isQueue = (sample: Sample): boolean => sample.kind === "queue";
    this.#gauge("emmap_file_size_bytes", "Size of the file.", ({ size }) => size);
    this.#gauge("emmap_writers", "Handles that may write the file.", ({ open }) => open);
    this.#gauge("emmap_waiters", "Waits for a message of the queue.", ({ waiters }) => waiters);
    this.#gauge("emmap_queue_length", "Messages in the queue.", (each) =>
      isQueue(each) ? each.amount : undefined,
    );
    this.#gauge("emmap_queue_bytes", "Bytes of messages in the queue.", ({ used }) => used);
    this.#gauge("emmap_queue_in_hand", "Messages that consumers have in hand.", ({ inHand }) => inHand);
    this.#gauge(
      "emmap_queue_oldest_seconds",
      "How long the first message has been the first one, at least.",
      (each) => (isQueue(each) ? (each.oldest ?? 0) : undefined),
    );
    this.#gauge("emmap_blocks", "Blocks in the storage.", (each) =>
      each.kind === "blocks" ? each.amount : undefined,
    );
    this.#gauge("emmap_table_keys", "Keys of the table, or of the metrics.", ({ kind, amount }) =>
      kind === "table" || kind === "metrics" ? amount : undefined,
    );
    this.#gauge("emmap_cell_version", "Values published in the cell.", (each) =>
      each.kind === "cell" ? each.amount : undefined,
    );
    this.#gauge("emmap_trouble", "1 if the file, its lock or its users are in trouble.", ({ trouble }) =>
      trouble === undefined ? 0 : 1,
    );
    this.#total(
      "emmap_queue_pushed_total",
      "Messages pushed since this process began to look.",
      (each) => each.done[0],
    );
    this.#total(
      "emmap_queue_popped_total",
      "Messages popped since this process began to look.",
      (each) => each.done[1],
    );
    this.#total(
      "emmap_lock_waits_total",
      "Changes that found the file's lock taken.",
      (each) => each.done[2],
    );
    this.#values = new Gauge<Labels>({
      name: "emmap_counters_value",
      help: "Value of a counter.",
      labelNames: ["path", "index"],
      registers: [this.#registry],
    });
  }

  #gauge(name: string, help: string, of: (sample: Sample) => number | undefined): void {
    const gauge = new Gauge<Labels>({
      name,
      help,
      labelNames: ["path", "kind"],
      registers: [this.#registry],
    });
    this.#gauges.push([gauge, of]);
  }

  #total(name: string, help: string, of: (sample: Sample) => number): void {
    const counter = new Counter<Labels>({
      name,
      help,
      labelNames: ["path", "kind"],
      registers: [this.#registry],
    });
    this.#totals.push([counter, of]);
  }

  /** Adds what was done since the last look. */
  note(samples: readonly Sample[]): void {
    for (const sample of samples) {
      if (sample.inspection.sharing !== "live") continue;
      const { path, kind } = sample;
      for (const [counter, of] of this.#totals) counter.inc({ path, kind }, of(sample));
    }
  }

  /** The text for a scrape. */
  async text(samples: readonly Sample[]): Promise<string> {
    for (const [gauge, of] of this.#gauges) {
      gauge.reset();
      for (const sample of samples) {
        const value = of(sample);
        if (value !== undefined) gauge.set({ path: sample.path, kind: sample.kind }, value);
      }
    }
    this.#values.reset();
    for (const { path, kind, amount = 0 } of samples) {
      if (kind !== "counters" || amount > SHOWN) continue;
      try {
        using file = openCounters(path, 0, { read: true });
        for (let index = 0; index < file.length; index++)
          this.#values.set({ path, index: String(index) }, Number(file.get(index)));
      } catch {
        // It is gone, or damaged by now.
      }
    }
    return this.#registry.metrics();
  }

  readonly contentType = this.#registry.contentType;
}
