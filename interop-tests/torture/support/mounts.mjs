// File systems of a process's own: in a mount namespace that goes with it, so that nothing stays mounted.
import { execFileSync, spawnSync } from "node:child_process";
import { NotPossible } from "./report.mjs";

const UNSHARE = ["unshare", "--mount", "--propagation", "private"];
const MOUNT = 'mount -t tmpfs -o "$1" emmap-torture "$2" && shift 2 && exec "$@"';

/** A command that runs the one behind it where `folder` is a file system in memory, of `size` bytes. */
export function onDisk(folder, size) {
  const user = process.getuid() === 0 ? [] : ["--map-root-user"];
  return [...UNSHARE, ...user, "sh", "-c", MOUNT, "sh", `size=${size}`, folder];
}

const OVERLAY = [
  'mount -t tmpfs -o "$1" emmap-torture "$2"',
  'mkdir "$2/lower" "$2/upper" "$2/work" "$2/merged"',
  'mount -t overlay -o "lowerdir=$2/lower,upperdir=$2/upper,workdir=$2/work" emmap-torture "$2/merged"',
  'shift 2 && exec "$@"',
].join(" && ");

/** A command that runs the one behind it where `merged` in the folder is an overlay. */
export function onOverlay(folder) {
  const user = process.getuid() === 0 ? [] : ["--map-root-user"];
  return [...UNSHARE, ...user, "sh", "-c", OVERLAY, "sh", "size=64m", folder];
}

/** A command that runs the one behind it with the mounts of the process with this id. */
export function withMountsOf(pid) {
  const user = process.getuid() === 0 ? [] : ["--user", "--preserve-credentials"];
  return ["nsenter", "--target", String(pid), "--mount", ...user];
}

/** Throws where this user may mount nothing. */
export function requireMounts(folder) {
  const [command, ...args] = [...onDisk(folder, 65_536), "true"];
  const tried = spawnSync(command, args, { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`this user may mount nothing: ${tried.stderr || tried.error}`.trim());
}

/** What is called `path` where the process with this id sees it. */
export const seenBy = (pid, path) => `/proc/${pid}/root${path}`;

/** Makes the process's file system one that nobody can write to. */
export function makeReadOnly(pid, folder) {
  const within = ["--target", String(pid), "--mount"];
  if (process.getuid() !== 0) within.push("--user", "--preserve-credentials");
  // With its name, or mount would repeat options that only the outside has numbers for.
  execFileSync("nsenter", [...within, "mount", "-o", "remount,ro", "emmap-torture", folder]);
}
