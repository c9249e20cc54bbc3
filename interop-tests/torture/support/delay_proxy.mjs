// Passes connections on, and what they carry later. Usage: delay_proxy.mjs PORT HOST HOST_PORT. A line with a number of milliseconds
// is the delay from now on; it is answered when it is in force.
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [port, host, hostPort] = process.argv.slice(2);
let delay = 0;

/** Bytes keep their order although the delay changes. */
function pipe(from, to) {
  let free = 0;
  from.on("data", (bytes) => {
    free = Math.max(free, performance.now() + delay);
    setTimeout(() => to.write(bytes), free - performance.now());
  });
  from.on("close", () => setTimeout(() => to.destroy(), Math.max(0, free - performance.now())));
  from.on("error", () => {});
}

const server = createServer((client) => {
  const other = connect(Number(hostPort), host);
  pipe(client, other);
  pipe(other, client);
});
server.listen(Number(port), () => {
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      delay = Number(line);
      console.log("ok");
    })
    .on("close", () => process.exit());
});
