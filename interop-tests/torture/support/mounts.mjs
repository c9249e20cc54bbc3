// File systems for one process, in a mount namespace that ends with the process, so that nothing stays mounted.
import { execFileSync, spawnSync } from "node:child_process";
import { NotPossible } from "./report.mjs";

const UNSHARE = ["unshare", "--mount", "--propagation", "private"];
const MOUNT = 'mount -t tmpfs -o "$1" emmap-torture "$2" && shift 2 && exec "$@"';

/** A prefix that runs a command with a file system in memory, of `size` bytes, at `folder`. */
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

/** A prefix that runs a command with an overlay at `merged` in the folder. */
export function onOverlay(folder) {
  const user = process.getuid() === 0 ? [] : ["--map-root-user"];
  return [...UNSHARE, ...user, "sh", "-c", OVERLAY, "sh", "size=64m", folder];
}

/** A prefix that runs a command with the mounts of the process with this id. */
export function withMountsOf(pid) {
  const user = process.getuid() === 0 ? [] : ["--user", "--preserve-credentials"];
  return ["nsenter", "--target", String(pid), "--mount", ...user];
}

/** Throws if this user may mount nothing. */
export function requireMounts(folder) {
  const [command, ...args] = [...onDisk(folder, 65_536), "true"];
  const tried = spawnSync(command, args, { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`this user may mount nothing: ${tried.stderr || tried.error}`.trim());
}

/** The path by which this process reaches the file that the process with this id calls `path`. */
export const seenBy = (pid, path) => `/proc/${pid}/root${path}`;

/** Makes the process's file system read-only. */
export function makeReadOnly(pid, folder) {
  const within = ["--target", String(pid), "--mount"];
  if (process.getuid() !== 0) within.push("--user", "--preserve-credentials");
  // With its name. Without it mount would repeat options with user ids that only the outer namespace has.
  execFileSync("nsenter", [...within, "mount", "-o", "remount,ro", "emmap-torture", folder]);
}
