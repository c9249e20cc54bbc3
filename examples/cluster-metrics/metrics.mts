// The workers of a cluster add their metrics to one counters file, which outlives each worker's restart. Counting takes
// nanoseconds, sends no message, and loses nothing when a worker is killed.
import type { ServerResponse } from "node:http";
import { type Counters, openCounters } from "emmap";

/** Upper bounds of the histogram's buckets, in milliseconds. One more bucket counts slower requests. */
const BUCKETS = [1, 5, 10, 50, 100, 500, 1000];

const REQUESTS = 0;
const ERRORS = 1;
const MICROSECONDS = 2;
const FIRST_BUCKET = 3;
const FIRST_WORKER = FIRST_BUCKET + BUCKETS.length + 1;

export class Metrics {
  readonly #counters: Counters;
  readonly #workers: number;

  constructor(path: string, workers: number) {
    this.#workers = workers;
    this.#counters = openCounters(path, FIRST_WORKER + workers);
  }

  /** Counts a request that worker number `worker` begins, and its time and outcome when `response` is closed. */
  observe(worker: number, response: ServerResponse): void {
    const start = process.hrtime.bigint();
    this.#counters.add(FIRST_WORKER + worker, 1);
    response.once("close", () => {
      const microseconds = (process.hrtime.bigint() - start) / 1000n;
      const bucket = BUCKETS.findIndex((limit) => microseconds <= BigInt(limit * 1000));
      this.#counters.add(FIRST_WORKER + worker, -1);
      this.#counters.add(FIRST_BUCKET + (bucket < 0 ? BUCKETS.length : bucket), 1);
      this.#counters.add(MICROSECONDS, microseconds);
      if (response.statusCode >= 500) this.#counters.add(ERRORS, 1);
      this.#counters.add(REQUESTS, 1);
    });
  }

  /** A worker has ended: it has no requests in flight. */
  forget(worker: number): void {
    this.#counters.set(FIRST_WORKER + worker, 0);
  }

  /** In the text form that Prometheus reads. */
  toString(): string {
    const at = (index: number): bigint => this.#counters.get(index);
    let below = 0n;
    const buckets = [...BUCKETS.map((limit) => limit / 1000), "+Inf"].map((limit, i) => {
      below += at(FIRST_BUCKET + i);
      return `http_request_duration_seconds_bucket{le="${limit}"} ${below}`;
    });
    const workers = Array.from(
      { length: this.#workers },
      (_, worker) => `http_requests_in_flight{worker="${worker}"} ${at(FIRST_WORKER + worker)}`,
    );
    return [
      "# TYPE http_requests_total counter",
      `http_requests_total ${at(REQUESTS)}`,
      "# TYPE http_errors_total counter",
      `http_errors_total ${at(ERRORS)}`,
      "# TYPE http_request_duration_seconds histogram",
      ...buckets,
      `http_request_duration_seconds_sum ${Number(at(MICROSECONDS)) / 1e6}`,
      `http_request_duration_seconds_count ${below}`,
      "# TYPE http_requests_in_flight gauge",
      ...workers,
      "",
    ].join("\n");
  }

  close(): void {
    this.#counters.close();
  }
}
