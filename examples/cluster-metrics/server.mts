// A cluster of Node workers that serve HTTP. The primary starts a worker again when it ends, and shows the sum of what all
// workers have counted.
//
//   node server.mts metrics.table 8080 9090 &
//   curl localhost:8080; curl localhost:9090/metrics
//
// On SIGTERM and SIGINT it answers the present requests and ends. The metrics stay in the file.
import cluster from "node:cluster";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Metrics } from "./metrics.mts";

const WORKERS = 2;
const [path, port, metricsPort] = process.argv.slice(2);
if (path === undefined || port === undefined || metricsPort === undefined) {
  console.error("usage: node server.mts FILE PORT METRICS_PORT");
  process.exit(2);
}

const metrics = new Metrics(path);
process.once("exit", () => metrics.close());
if (cluster.isPrimary) lead();
else serve();

function lead(): void {
  let stopping = false;
  const server = createServer(async (_, response) => {
    response.setHeader("content-type", "text/plain; version=0.0.4").end(await metrics.text());
  });
  server.listen(Number(metricsPort), () =>
    console.log(`metrics on port ${(server.address() as AddressInfo).port}`),
  );

  const start = (worker: number): void => {
    const child = cluster.fork();
    child.on("listening", (address) => console.log(`worker ${worker} listening on port ${address.port}`));
    child.on("exit", (status, signal) => {
      if (stopping) return;
      console.error(`worker ${worker} ended with ${signal ?? status}`);
      // After a pause, so that a worker that cannot start does not keep the machine busy.
      setTimeout(() => !stopping && start(worker), 100);
    });
  };
  for (let worker = 0; worker < WORKERS; worker++) start(worker);

  for (const signal of ["SIGTERM", "SIGINT"])
    process.once(signal, () => {
      stopping = true;
      server.close();
      server.closeAllConnections();
      cluster.disconnect();
    });
}

function serve(): void {
  const server = createServer((request, response) => {
    metrics.observe(response);
    if (request.url === "/fail") response.writeHead(500);
    response.end(`${process.pid}\n`);
  });
  server.listen(Number(port));
  // A terminal sends SIGINT to all of its processes. The primary tells the workers when to end.
  process.on("SIGINT", () => {});
}
