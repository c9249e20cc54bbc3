// The workers of a cluster add their metrics to one file, which outlives each worker's restart. Counting takes nanoseconds, sends no
// message, and loses nothing when a worker is killed.
import type { ServerResponse } from "node:http";
import { counter, gauge, histogram, openMetrics } from "emmap";

const open = (path: string) =>
  openMetrics(path, {
    http_requests_total: counter({ help: "Requests that were answered." }),
    http_errors_total: counter({ help: "Answers with a status from 500 on." }),
    http_request_duration_seconds: histogram({ buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1] }),
    // What a worker has in flight goes with it when it dies.
    http_requests_in_flight: gauge({ perProcess: true }),
  });

export class Metrics {
  readonly #metrics: ReturnType<typeof open>;

  constructor(path: string) {
    this.#metrics = open(path);
  }

  /** Counts a request that begins, and its time and outcome when `response` is closed. */
  observe(response: ServerResponse): void {
    const metrics = this.#metrics;
    const start = performance.now();
    metrics.http_requests_in_flight.add(1);
    response.once("close", () => {
      metrics.http_requests_in_flight.add(-1);
      metrics.http_request_duration_seconds.observe((performance.now() - start) / 1000);
      if (response.statusCode >= 500) metrics.http_errors_total.add();
      metrics.http_requests_total.add();
    });
  }

  /** In the text form that Prometheus reads. */
  text(): Promise<string> {
    return this.#metrics.text();
  }

  close(): void {
    this.#metrics.close();
  }
}
