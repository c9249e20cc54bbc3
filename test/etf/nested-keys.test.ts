// Maps nested as keys of maps are compared in linear time: the work is counted as the digests that are made.
import { describe, expect, test, vi } from "vitest";
import { decode, type EtfError, encode, type Term, tuple } from "../../src/etf";

const counted = vi.hoisted(() => ({ digests: 0 }));
vi.mock("node:crypto", async (load) => {
  const crypto = await load<typeof import("node:crypto")>();
  return {
    ...crypto,
    createHash: (name: string) => {
      counted.digests++;
      return crypto.createHash(name);
    },
  };
});

const LEVELS = 1000;

function digests(action: () => unknown): number {
  counted.digests = 0;
  action();
  return counted.digests;
}

/** Maps of two keys, one of which contains the next map. */
function nested(levels: number, wrapped: (inner: Term) => Term, other: (i: number) => Term): Term {
  let term: Term = new Map<Term, Term>([[1, 1]]);
  for (let i = 0; i < levels; i++)
    term = new Map<Term, Term>([
      [wrapped(term), 1],
      [other(i), 2],
    ]);
  return term;
}

const wrappers: [string, (inner: Term) => Term][] = [
  ["itself", (inner) => inner],
  ["in a tuple", (inner) => tuple(1, inner)],
  ["in a list", (inner) => [inner]],
  ["as the value of a map", (inner) => new Map<Term, Term>([[1, inner]])],
];
const others: [string, (i: number) => Term][] = [
  ["an integer", (i) => i],
  ["a tuple", (i) => tuple(i)],
  ["a list", (i) => [i]],
  ["a map", (i) => new Map([[i, [i]]])],
  ["a long binary", (i) => Buffer.alloc(300, i)],
];

describe.each(wrappers)("a map as a key, %s,", (_, wrapped) => {
  test.each(others)("beside %s", (_name, other) => {
    const term = nested(LEVELS, wrapped, other);
    expect(digests(() => encode(term))).toBeLessThan(6 * LEVELS);
    const bytes = encode(term);
    expect(digests(() => decode(bytes))).toBeLessThan(6 * LEVELS);
  });
});

test("two equal keys are found at every depth, though written differently", () => {
  const text = "x".repeat(300);
  for (const levels of [0, 1, 7, 500]) {
    const wrapped = (inner: Term): Term => tuple(inner, text);
    const one = nested(levels, wrapped, (i) => tuple(i, text));
    const other = nested(
      levels,
      (inner) => tuple(inner, Buffer.from(text)),
      (i) => tuple(i, Buffer.from(text)),
    );
    const twice = new Map<Term, Term>([
      [one, 1],
      [other, 2],
    ]);
    expect(() => encode(twice)).toThrow(expect.objectContaining({ code: "ETF_UNENCODABLE" }) as EtfError);
    const body = encode(one).subarray(1);
    const again = encode(other).subarray(1);
    const bytes = Buffer.concat([
      Buffer.of(131, 116, 0, 0, 0, 2),
      body,
      Buffer.of(97, 1),
      again,
      Buffer.of(97, 2),
    ]);
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: "ETF_MALFORMED" }) as EtfError);
  }
});
