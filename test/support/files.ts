import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A path for a new file, in a folder that is deleted when the test ends. */
export function freshPath(name = "file.bin"): string {
  const folder = mkdtempSync(join(tmpdir(), "emmap-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, name);
}

/** Bytes that tell their position. */
export function pattern(size: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, position) => position % 251));
}

/** A file of `size` bytes, each its position modulo 251. */
export function patternFile(size = 4096): string {
  const path = freshPath();
  writeFileSync(path, pattern(size));
  return path;
}

/** The number of this process's mappings of the file, or of all files below the folder. */
export function mappingsOf(path: string): number {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes(path)).length;
}

/** The number of this process's descriptors of the file, or of all files below the folder. */
export function descriptorsOf(path: string): number {
  const target = (descriptor: string): string => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return ""; // the one that reads the folder is gone by now
    }
  };
  return readdirSync("/proc/self/fd").filter((descriptor) => target(descriptor).includes(path)).length;
}
