import type { PathLike } from "node:fs";
import { addon, type NativeFile } from "./addon.js";
import { EmmapError } from "./error.js";
import { toPath } from "./options.js";

/** Makes a copy of the file; an error knows where it was to go. */
export async function backup(native: NativeFile, to: PathLike): Promise<void> {
  const path = toPath(to);
  try {
    await addon.backup(native, path);
  } catch (error) {
    if (error instanceof EmmapError) error.dest = String(path);
    throw error;
  }
}
