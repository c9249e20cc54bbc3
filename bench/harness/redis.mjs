// A Redis server that runs while a benchmark runs. It listens on a unix socket and writes nothing to a disk.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Starts a server with its socket in the folder. Returns a connected client of @redis/client; its `close` ends both. */
export async function startRedis(folder) {
  const { createClient } = await import("@redis/client");
  const path = join(folder, "redis.sock");
  const settings = { port: "0", unixsocket: path, save: "", appendonly: "no", dir: folder };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const server = spawn("redis-server", args, { stdio: "ignore" });
  let failure;
  server.on("error", (error) => {
    failure = error;
  });
  server.on("exit", (status) => {
    failure ??= new Error(`redis-server ended with ${status}`);
  });
  const kill = () => server.kill();
  process.once("exit", kill);
  while (failure === undefined && !existsSync(path)) await sleep(5);
  if (failure !== undefined) throw failure;
  const client = createClient({ socket: { path, tls: false } });
  await client.connect();
  return {
    client,
    async close() {
      await client.close();
      process.off("exit", kill);
      kill();
    },
  };
}
