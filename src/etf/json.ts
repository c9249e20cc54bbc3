// The option `values: "json"`: the value that JSON.stringify would write.
import { types } from "node:util";
import { BitString, ImproperList, Opaque } from "./terms.js";
import { isPlain, unencodable } from "./unencodable.js";

/** The value that JSON writes for `value`, whose property name is `name`; undefined: JSON leaves it out. */
export function jsonOf(value: unknown, name: string): unknown {
  let shown = value;
  if ((typeof value === "object" && value !== null) || typeof value === "bigint") {
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") shown = toJSON.call(value, name);
    if (types.isBoxedPrimitive(shown)) shown = shown.valueOf();
  }
  return typeof shown === "function" || typeof shown === "symbol" ? undefined : shown;
}

export function jsonRoot(value: unknown): unknown {
  const root = jsonOf(value, "");
  if (root === undefined) throw unencodable(`${typeof value} in JSON`);
  return root;
}

/** The elements that JSON writes: the list itself, if none differs. */
export function jsonItems(list: readonly unknown[]): readonly unknown[] {
  let items: unknown[] | undefined;
  for (let at = 0; at < list.length; at++) {
    const item = list[at];
    const shown = typeof item === "string" || typeof item === "number" ? item : jsonOf(item, String(at));
    if (shown === item) continue;
    items ??= [...list];
    items[at] = shown;
  }
  return items ?? list;
}

/** Throws for an object that is more than its properties: JSON keeps nothing else. */
export function checkJson(value: object): void {
  if (isPlain(value)) return;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (
    kind !== "Object" ||
    value instanceof Opaque ||
    value instanceof BitString ||
    value instanceof ImproperList
  )
    throw unencodable(`an instance of ${value.constructor?.name ?? kind} in JSON`);
}
