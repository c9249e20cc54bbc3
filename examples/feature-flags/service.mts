// A service that looks its flags up with each request. A change takes effect without a restart.
//
//   node admin.mts flags.cell set new-checkout 25
//   node service.mts flags.cell 8080 &
//   curl 'localhost:8080/?user=ann'
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Flags } from "./flags.mts";

const [path, port] = process.argv.slice(2);
if (path === undefined || port === undefined) {
  console.error("usage: node service.mts FILE PORT");
  process.exit(2);
}
const flags = new Flags(path);

const server = createServer((request, response) => {
  // Not new URL(): it throws for some addresses that a client can send, such as "//".
  const query = new URLSearchParams(request.url?.replace(/^[^?]*/, ""));
  const user = query.get("user") ?? "nobody";
  response.end(flags.isOn("new-checkout", user) ? "the new checkout\n" : "the old checkout\n");
});

server.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
  flags.close();
});
server.listen(Number(port), () => console.log(`listening on port ${(server.address() as AddressInfo).port}`));

for (const signal of ["SIGTERM", "SIGINT"])
  process.once(signal, () => {
    server.close(() => flags.close());
    server.closeIdleConnections();
  });
