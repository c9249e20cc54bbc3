// Messages for people: as Erlang prints a term, or as JSON.
import { Buffer } from "node:buffer";
import { Atom, quoted } from "../etf/atoms.js";
import { decodePrefix } from "../etf/decode.js";
import { encode } from "../etf/encode.js";
import { BitString, Float, ImproperList, Tuple } from "../etf/terms.js";
import { Failure, Status } from "./failure.js";
import { json, safe } from "./text.js";

export type Form = "erlang" | "json" | "hex" | "raw";

/** Deeper terms end in "...", so that no message overflows the stack. */
const DEPTH = 200;

const ELLIPSIS = "...";

/** The text of UTF-8; undefined: the bytes are other ones. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const ESCAPES: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\" };

const literal = (text: string): string =>
  `"${safe(text.replace(/[\n\t\r"\\]/g, (each) => ESCAPES[each] as string))}"`;

function binary(bytes: Uint8Array): string {
  if (bytes.length === 0) return "<<>>";
  const text = textOf(bytes);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
  if (text === undefined || /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text))
    return `<<${[...bytes].join(",")}>>`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII
  return `<<${literal(text)}${/^[\x00-\x7f]*$/.test(text) ? "" : "/utf8"}>>`;
}

function number(value: number): string {
  const text = Object.is(value, -0) ? "-0.0" : String(value);
  if (Number.isInteger(value) && !text.includes("e")) return text;
  return text.includes(".") ? text.replace("e+", "e") : text.replace(/e\+?/, ".0e");
}

const isText = (list: readonly unknown[]): boolean =>
  list.length > 0 &&
  list.every((each) => typeof each === "number" && ((each >= 32 && each < 127) || each === 10 || each === 9));

/** A term as Erlang prints it. */
export function erlang(term: unknown, depth = DEPTH): string {
  if (depth < 0) return ELLIPSIS;
  const all = (list: readonly unknown[]): string => list.map((each) => erlang(each, depth - 1)).join(",");
  if (typeof term === "number") return number(term);
  if (term instanceof Atom) return safe(quoted(term.name));
  if (term instanceof Uint8Array) return binary(term);
  if (Array.isArray(term)) return isText(term) ? literal(String.fromCharCode(...term)) : `[${all(term)}]`;
  if (term instanceof Tuple) return `{${all(term.elements)}}`;
  if (term instanceof Map)
    return `#{${[...term].map(([key, value]) => `${erlang(key, depth - 1)} => ${erlang(value, depth - 1)}`).join(",")}}`;
  if (term instanceof ImproperList) return `[${all(term.elements)}|${erlang(term.tail, depth - 1)}]`;
  if (term instanceof Float) return number(term.value).replace(/^(-?\d+)$/, "$1.0");
  if (term instanceof BitString) {
    const last = term.bytes.length - 1;
    const bits = (term.bytes[last] as number) >> (8 - term.lastBits);
    return `<<${[...[...term.bytes.subarray(0, last)].map(String), `${bits}:${term.lastBits}`].join(",")}>>`;
  }
  return safe(String(term));
}

/** The value that JSON shows of a term: what JSON cannot hold is the text that Erlang prints. */
export function jsonValue(term: unknown, depth = DEPTH): unknown {
  if (depth < 0) return ELLIPSIS;
  if (typeof term === "number") return Number.isFinite(term) ? term : String(term);
  if (typeof term === "boolean") return term;
  if (term instanceof Atom) return term.name === "null" || term.name === "nil" ? null : term.name;
  if (term instanceof Uint8Array) return textOf(term) ?? erlang(term);
  if (Array.isArray(term)) return term.map((each) => jsonValue(each, depth - 1));
  if (term instanceof Tuple) return term.elements.map((each: unknown) => jsonValue(each, depth - 1));
  if (term instanceof Float) return term.value;
  if (term instanceof Map)
    return Object.fromEntries(
      [...term].map(([key, value]) => [
        key instanceof Atom
          ? key.name
          : key instanceof Uint8Array
            ? (textOf(key) ?? erlang(key))
            : erlang(key),
        jsonValue(value, depth - 1),
      ]),
    );
  return erlang(term);
}

/** The term of a message and its length, without the zeros that follow it; undefined: it is none. */
export function termOf(message: Buffer): { term: unknown; length: number } | undefined {
  try {
    const { term, bytesRead } = decodePrefix(message);
    return { term, length: bytesRead };
  } catch {
    return undefined;
  }
}

/** The bytes that were pushed, as far as the message tells. */
export function payloadOf(message: Buffer): Buffer {
  return message.subarray(0, termOf(message)?.length ?? message.length);
}

const hexOf = (bytes: Buffer): string => bytes.toString("hex");

/** A message in one line. Bytes that are no term are shown in hexadecimal. */
export function line(message: Buffer, form: Form): string {
  if (form === "hex") return hexOf(message);
  const found = termOf(message);
  if (found === undefined) return form === "json" ? json({ hex: hexOf(message) }) : hexOf(message);
  return form === "json" ? json(jsonValue(found.term)) : erlang(found.term);
}

/** A message as a value for `--json`. */
export function value(message: Buffer): unknown {
  const found = termOf(message);
  return found === undefined ? { hex: hexOf(message) } : jsonValue(found.term);
}

/** A string of JSON, or a number. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** Refuses a number that a JavaScript number cannot hold: it would become another one. */
function checkNumbers(text: string): void {
  for (const [each] of text.matchAll(STRING_OR_NUMBER)) {
    if (each.startsWith('"')) continue;
    const number = Number(each);
    if (/^-?\d+$/.test(each) ? !Number.isSafeInteger(number) : !Number.isFinite(number))
      throw new Failure(`${each} is beyond the numbers of JSON that emmap keeps exactly`, Status.usage);
  }
}

/** The bytes of a message or a value from the user's word. */
export function parsed(word: string, form: Form): Uint8Array {
  if (form === "hex") return Buffer.from(word, "hex");
  if (form === "raw") return Buffer.from(word);
  let parsedWord: unknown;
  try {
    parsedWord = JSON.parse(word);
  } catch {
    throw new Failure(`${word} is no JSON; a text is '"${word.replaceAll(/["']/g, "")}"'`, Status.usage);
  }
  checkNumbers(word);
  return encode(parsedWord as never, { values: "json" });
}
