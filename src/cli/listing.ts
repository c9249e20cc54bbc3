// The files that a verb is about: those named, and those in the folders named.
import { lstatSync, statSync } from "node:fs";
import { missing } from "./failure.js";
import { filesIn } from "./files.js";
import { type Inspection, inspect } from "./inspect.js";

export interface Listed {
  path: string;
  /** It was named itself, and not found in a folder. */
  named: boolean;
}

/** Throws for a path that leads nowhere. */
export function* listed(paths: readonly string[], recursive = false): Generator<Listed, void, undefined> {
  for (const path of paths.length === 0 ? ["."] : paths) {
    let isFolder: boolean;
    try {
      isFolder = statSync(path).isDirectory();
    } catch {
      throw missing(path);
    }
    if (!isFolder) yield { path, named: true };
    else for (const each of filesIn(path, recursive)) yield { path: each, named: false };
  }
}

/** Whether a listing shows a file that was found in a folder: it has a format, or a user. */
export const isOurs = (found: Inspection): boolean =>
  found.kind !== "plain" || (found.sharing ?? "none") !== "none";

/** Inspects a file of a listing; undefined: it is none of emmap's, or gone, or not for this user. */
export function inspectListed({ path, named }: Listed, look = inspect, all = false): Inspection | undefined {
  if (named) return look(path);
  try {
    if (!lstatSync(path).isFile()) return undefined;
    const found = look(path);
    return all || isOurs(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a path that was found in a folder leads nowhere because Node cannot hold its name's bytes. */
export const isNameLost = (path: string): boolean =>
  path.includes("\ufffd") && lstatSync(path, { throwIfNoEntry: false }) === undefined;
