// The path to the part of a value that the encoder refuses.
import { Buffer } from "node:buffer";
import { OwnAtom } from "./atoms.js";
import { type EtfError, etfError } from "./errors.js";
import { OwnImproperList, OwnTuple } from "./terms.js";

/** A container of which some items were written. */
interface Place {
  readonly outer: Place | undefined;
  readonly source: object | undefined;
  readonly items: readonly unknown[];
  readonly written: number;
}

/** The most steps of a path that are shown. */
const MAX_PATH = 64;

/** Adds the path of the item that `frame` has written last to the error. */
export function located(error: EtfError, frame: Place): EtfError {
  const steps: string[] = [];
  for (let at: Place | undefined = frame; at !== undefined && steps.length <= MAX_PATH; at = at.outer) {
    const { source, items, written } = at;
    if (source === undefined) break;
    if (Array.isArray(source) || source instanceof OwnTuple || source instanceof OwnImproperList)
      steps.push(`[${written - 1}]`);
    // The frame of an adopted value has one item; a pair has two.
    else if (items.length > 1) steps.push(step(items[(written - 1) & ~1]));
  }
  if (steps.length > MAX_PATH) steps[MAX_PATH] = "…";
  const path = `$${steps.reverse().join("")}`;
  const { code, message } = error;
  return Object.assign(etfError(code, `${message}, at ${path}`), { path });
}

function step(key: unknown): string {
  const name =
    typeof key === "object" && !(key instanceof OwnAtom) && !Buffer.isBuffer(key) ? "…" : String(key);
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return `.${name}`;
  return `[${typeof key === "string" ? JSON.stringify(name) : name}]`;
}
