// A container engine: the one that runs here, or one of our own that is gone afterwards.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { run, works } from "./run.mjs";

const START_SECONDS = 60;

/** No engine runs here and none can be started; the message says why, and how to get one. */
export class NoEngine extends Error {}

/** `env` makes docker and compose talk to it; `own` tells whether it is ours. What stops it goes to `undo`. */
export async function engine(undo) {
  if (await works("docker", ["info"])) return { env: process.env, own: false };
  if (process.env.DOCKER_HOST)
    throw new NoEngine(`no engine answers at DOCKER_HOST, ${process.env.DOCKER_HOST}`);
  if (process.getuid?.() !== 0)
    throw new NoEngine(
      "no container engine runs here. Install and start Docker (on Debian and Ubuntu: apt-get install docker.io" +
        " docker-compose), and be in the group docker; or run this as root, which starts an engine of its own.",
    );
  await installed("engine");
  // Installing it may have started it.
  if (await works("docker", ["info"])) return { env: process.env, own: false };
  return start(undo);
}

/** Installs a group of tools, as root on Debian and Ubuntu. */
export async function installed(group) {
  const script = fileURLToPath(new URL("../../scripts/install-tools", import.meta.url));
  await run(script, [group], { show: true }).catch((error) => {
    throw new NoEngine(`what containers need is not all here, and could not be installed. ${error.message}`);
  });
}

/** Some machines let dockerd start, but no container: better known before than after the builds. */
export async function probe(engine, image) {
  await run("docker", ["run", "--rm", "--network", "none", image, "true"], { env: engine.env }).catch(
    (error) => {
      throw new NoEngine(`the engine cannot run containers here. ${error.message}`);
    },
  );
}

async function start(undo) {
  const folder = mkdtempSync(join(tmpdir(), "emmap-engine-"));
  const socket = `unix://${join(folder, "socket")}`;
  const log = join(folder, "log");
  for (const part of ["data", "exec"]) mkdirSync(join(folder, part));
  const args = [
    ...["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec")],
    ...["--pidfile", join(folder, "pid"), "--host", socket],
    // The services need no network, and the builds use this machine's.
    ...["--bridge=none", "--iptables=false", "--ip6tables=false"],
  ];
  const output = openSync(log, "w");
  // In a process group of its own, so that ^C reaches us and not it: we still need it to clean up.
  const child = spawn("dockerd", args, { stdio: ["ignore", output, output], detached: true });
  let ended = false;
  const end = new Promise((gone) => {
    child.on("error", gone);
    child.on("exit", gone);
  }).then(() => {
    ended = true;
  });
  undo.push(async () => {
    if (!ended) child.kill("SIGTERM");
    await end;
    await unmount(folder);
    rmSync(folder, { recursive: true, force: true });
  });

  const env = { ...process.env, DOCKER_HOST: socket };
  for (let tries = 0; !(await works("docker", ["info"], { env })); tries++) {
    if (ended || tries === START_SECONDS) {
      const said = readFileSync(log, "utf8").trim().split("\n").slice(-5).join("\n");
      throw new NoEngine(`dockerd could not be started here:\n${said}`);
    }
    await sleep(1000);
  }
  console.log("compose-test: no engine was running; started one for this test");
  return { env, own: true };
}

/** What a dockerd that had to hurry has left mounted below a folder. */
async function unmount(folder) {
  const mounted = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((place) => place.startsWith(`${folder}/`));
  for (const place of mounted.reverse()) await works("umount", ["--lazy", place]);
}
