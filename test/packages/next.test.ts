// The package in a server of Next, which bundles it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { emptyFolder, freshFolder, installBeside, installNpm, packNpm, run } from "./support/user";

const user = realpathSync(emptyFolder());
afterAll(() => rmSync(user, { recursive: true, force: true }));

beforeAll(() => {
  installNpm(packNpm(user).filename, user);
  // Not links: Next refuses packages that are outside of the project.
  cpSync(installBeside("next", "--ignore-scripts"), join(user, "node_modules"), { recursive: true });
  mkdirSync(join(user, "app/count"), { recursive: true });
  writeFileSync(
    join(user, "app/layout.js"),
    'export default ({ children }) => <html lang="en"><body>{children}</body></html>;',
  );
  writeFileSync(
    join(user, "app/count/route.js"),
    `import { openCounters } from "emmap";
     import { decode, encode } from "emmap/etf";
     export const dynamic = "force-dynamic";
     export function GET() {
       const counters = openCounters(process.env.COUNTERS, 1);
       counters.add(0, decode(encode(5)));
       const value = String(counters.get(0));
       counters.close();
       return new Response(value);
     }`,
  );
  writeFileSync(
    join(user, "next.config.js"),
    `module.exports = {
       output: "standalone",
       outputFileTracingIncludes: { "/*": ["node_modules/emmap/**"] },
     };`,
  );
  const next = join(user, "node_modules/next/dist/bin/next");
  run(process.execPath, [next, "build", "--webpack"], user, { NEXT_TELEMETRY_DISABLED: "1" });
});

test("a standalone server works where the configuration of the docs tells Next of the addon", async () => {
  const folder = realpathSync(freshFolder());
  cpSync(join(user, ".next/standalone"), join(folder, "server"), { recursive: true });
  const env = { ...process.env, PORT: "0", HOSTNAME: "127.0.0.1", COUNTERS: join(folder, "counters.bin") };
  const server = spawn(process.execPath, [join(folder, "server/server.js")], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(server, "exit");
  try {
    let said = "";
    const address = await new Promise<string>((resolve, reject) => {
      ended.then(() => reject(new Error(`the server ended: ${said}`)));
      server.stdout.on("data", (text) => {
        said += text;
        const found = /http:\/\/\S+:(\d+)/.exec(said)?.[1];
        if (found !== undefined) resolve(`http://127.0.0.1:${found}/count`);
      });
    });
    const ask = async (): Promise<string> => (await fetch(address)).text();
    expect([await ask(), await ask()]).toEqual(["5", "10"]);
  } finally {
    server.kill();
    await ended;
  }
});
