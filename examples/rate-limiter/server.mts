// An HTTP server that limits each client's requests, together with all other processes that have the file open.
//
//   node server.mts limits.table 8080 &
//   node server.mts limits.table 8081 &
//   curl -i -H 'x-api-key: ann' localhost:8080
//
// On SIGTERM and SIGINT it answers the present requests and ends.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { RateLimiter } from "./limiter.mts";

const [path, port] = process.argv.slice(2);
if (path === undefined || port === undefined) {
  console.error("usage: node server.mts FILE PORT");
  process.exit(2);
}
const limiter = new RateLimiter(path);

const server = createServer((request, response) => {
  const client = String(request.headers["x-api-key"] ?? request.socket.remoteAddress);
  const { allowed, resetMs } = limiter.take(client);
  if (allowed) response.end("hello\n");
  else
    response.writeHead(429, { "retry-after": String(Math.ceil(resetMs / 1000)) }).end("too many requests\n");
});

server.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
  limiter.close();
});
server.listen(Number(port), () => console.log(`listening on port ${(server.address() as AddressInfo).port}`));

for (const signal of ["SIGTERM", "SIGINT"])
  process.once(signal, () => {
    server.close(() => limiter.close());
    server.closeIdleConnections();
  });
