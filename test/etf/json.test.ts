import { runInNewContext } from "node:vm";
import { describe, expect, expectTypeOf, test } from "vitest";
import { EMPTY, openQueue, type Queue } from "../../src";
import {
  atom,
  decode,
  type EncodeOptions,
  EtfError,
  encode,
  type Json,
  type Term,
  tuple,
} from "../../src/etf";
import { thrownBy } from "../support/errors";
import { freshPath } from "../support/files";
import { Random } from "./random";

const { ETF_SEED = "1" } = process.env;
const JSON_VALUES = { values: "json" } as const;
const through = (value: unknown): unknown => decode(encode(value as Term, JSON_VALUES), JSON_VALUES);
const byJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

class Point {
  x = 1;
  #hidden = 2;
  get y(): number {
    return this.#hidden;
  }
}

const values: [string, unknown][] = [
  [
    "primitives",
    [null, true, false, 0, -1, 255, 256, 1.5, -0, 1e300, 2 ** 53, 2 ** 64, "", "text", "ünï", "\0"],
  ],
  ["bytes and other arrays", [[], [1, 2, 255], [1, 256], [[[]]], ["a"], new Array(3), [1, undefined, 3]]],
  ["objects", [{}, { a: { b: [{ c: null }] } }, { "": 1, "a b": 2, 1: 3 }, Object.create(null)]],
  [
    "what is left out",
    [{ a: undefined, b: () => 1, c: Symbol("c"), d: 4 }, [undefined, () => 1, Symbol("c")]],
  ],
  ["no numbers", [Number.NaN, { a: Number.POSITIVE_INFINITY }, Number.NEGATIVE_INFINITY]],
  [
    "what has a toJSON",
    [new Date(0), { at: new Date(1) }, Buffer.from("ab"), { toJSON: (key: string) => `k${key}` }],
  ],
  ["a toJSON that leaves it out", [{ a: { toJSON: () => undefined } }, [{ toJSON: () => undefined }]]],
  ["instances", [new Point(), [new Point()], [new Number(1), new String("s"), new Boolean(false)]]],
  ["names of Object's own", [JSON.parse('{"__proto__": {"a": 1}, "constructor": 2, "toString": 3}')]],
  ["terms that have a toJSON", [atom("ok"), tuple(1, "two", tuple())]],
  [
    "another context's",
    runInNewContext("[{ a: [1, { b: null }], d: new Date(0), c: new (class { x = 1 }) }]"),
  ],
];

test.each(values)("JSON comes out as JSON has it: %s", (_name, value) => {
  expect(through(value)).toEqual(byJson(value));
  for (const each of value as unknown[]) expect(through(each)).toEqual(byJson(each));
});

test("and so does whatever else", () => {
  const random = new Random(Number(ETF_SEED));
  const any = (depth: number): unknown => {
    const kind = random.below(depth > 0 ? 10 : 7);
    if (kind === 0) return random.pick([null, true, false, undefined, Number.NaN]);
    if (kind < 4) return random.pick([0, 200, 2 ** 31, -(2 ** 40), 1.25, 2 ** 60]);
    if (kind < 7) return random.pick(["", "a", "null", "ünï", "x".repeat(300)]);
    if (kind === 7) return Array.from({ length: random.below(300) }, () => random.below(256));
    const inner = Array.from({ length: random.below(6) }, () => any(depth - 1));
    return kind === 8
      ? inner
      : Object.fromEntries(inner.map((value, at) => [`${random.pick(["k", "é"])}${at}`, value]));
  };
  for (let i = 0; i < 2000; i++) {
    const value = [any(4)];
    expect(through(value)).toEqual(byJson(value));
  }
});

test("Erlang sees maps, binaries, lists and null", () => {
  const bytes = encode({ id: 7, tags: ["a"], none: null, gone: undefined, ok: true }, JSON_VALUES);
  expect(decode(bytes)).toEqual(
    new Map<unknown, unknown>([
      [Buffer.from("id"), 7],
      [Buffer.from("tags"), [Buffer.from("a")]],
      [Buffer.from("none"), atom("null")],
      [Buffer.from("ok"), true],
    ]),
  );
  expect(decode(encode([null], { ...JSON_VALUES, null: "nil" }))).toEqual([atom("nil")]);
});

test("what Erlang writes comes out as what JSON has for it", () => {
  const written: [Term, unknown][] = [
    [new Map<Term, Term>([[atom("a"), atom("b")]]), { a: "b" }],
    [tuple(atom("job"), tuple()), ["job", []]],
    [
      [atom("null"), atom("nil"), atom("undefined"), atom("true")],
      [null, null, "undefined", true],
    ],
    [2n ** 70n, 2n ** 70n],
    [Buffer.from([0xff]), Buffer.from([0xff])],
  ];
  for (const [term, shown] of written) expect(decode(encode(term), JSON_VALUES)).toEqual(shown);
  expect(decode(encode(atom("x")), { ...JSON_VALUES, atoms: "atom" })).toBe(atom("x"));
});

describe("what would not come out is refused, with the way to it", () => {
  const refused: [string, unknown][] = [
    ["$.a", { a: 1n }],
    ["$.a[1].b", { a: [0, { b: new Map() }] }],
    ["$[0]", [new Set([1])]],
    ["$.of.it", { of: { it: new Uint8Array(1) } }],
    ["$[1]", [1, /x/]],
    ["$.e", { e: Promise.resolve() }],
    ["$.text", { text: "\ud800" }],
    ["$", undefined],
    ["$", () => 1],
  ];
  test.each(refused)("%s", (path, value) => {
    const error = thrownBy(() => encode(value as Term, JSON_VALUES));
    expect(error).toMatchObject({ code: "ETF_UNENCODABLE", path });
    expect(error.message).toMatch(/^no term stands for .+, at \$/);
    expect(error.message.endsWith(`, at ${path}`)).toBe(true);
  });

  test("a value that contains itself, even in ever new objects", () => {
    const cycle: { self?: unknown } = new (class Node {})();
    cycle.self = [cycle];
    const endless = { toJSON: () => ({ endless }) };
    for (const value of [cycle, endless])
      expect(thrownBy(() => encode(value as Term, JSON_VALUES))).toMatchObject({ code: "ETF_CYCLE" });
  });
});

describe("a queue of JSON", () => {
  interface Job {
    readonly id: number;
    readonly note: string | null;
    readonly at?: { readonly x: number };
  }

  test("gives what it was given, one by one and many", () => {
    using jobs = openQueue<Job>(freshPath(), JSON_VALUES);
    const job: Job = { id: 1, note: null, at: { x: 0.5 } };
    jobs.push(job);
    jobs.pushMany([job, { id: 2, note: "ünï" }]);
    const first = jobs.pop();
    expectTypeOf(first).toEqualTypeOf<Job | typeof EMPTY>();
    expectTypeOf(jobs.pop).parameter(0).toBeUnknown();
    expect(first).toEqual(job);
    expect([...jobs]).toEqual([job, { id: 2, note: "ünï" }]);
    expect(jobs.popMany(5)).toEqual([job, { id: 2, note: "ünï" }]);
    expect([jobs.pop(null), jobs.pop()]).toEqual([null, EMPTY]);
  });

  test("says no to options that contradict it, and keeps those that do not", () => {
    const wrong = [{ values: "json", raw: true }, { values: "jsno" }, { values: 1 }];
    for (const options of wrong) expect(() => openQueue(freshPath(), options as object)).toThrow();
    using small = openQueue(freshPath(), {
      ...JSON_VALUES,
      maxInflatedSize: 1000,
      encode: { compressed: true },
    });
    expect(thrownBy(() => small.push("x".repeat(2000))).code).toBe("ETF_LIMIT");
    using large = openQueue(small.path, { values: "json", encode: { compressed: true } });
    large.push("x".repeat(2000));
    expect(thrownBy(() => small.pop()).code).toBe("EMMAP_REFUSED");
  });

  test("has the type that it is given, or JSON", () => {
    using any = openQueue(freshPath(), { values: "json" });
    expectTypeOf(any).toEqualTypeOf<Queue<Term, Json>>();
    using jobs = openQueue<Job>(freshPath());
    expectTypeOf(jobs).toEqualTypeOf<Queue<Job, Job>>();
    expectTypeOf(decode(encode(1), { values: "json" })).toEqualTypeOf<Json>();
    // @ts-expect-error: no job
    jobs.push({ id: "1" });
  });
});

test("interfaces are terms, and functions, dates, promises and symbols none", () => {
  interface Inner {
    readonly list: readonly Inner[];
  }
  const inner: Inner = { list: [{ list: [] }] };
  using queue = openQueue(freshPath());
  queue.push(inner);
  queue.push([inner, new Map([["key", inner]])]);
  expect(encode(inner)).toEqual(encode({ list: [{ list: [] }] }));
  // @ts-expect-error: a function
  expect(() => queue.push(() => 1)).toThrow(EtfError);
  // @ts-expect-error: a date
  expect(() => queue.push([new Date()])).toThrow(EtfError);
  // @ts-expect-error: a promise
  expect(() => queue.push(Promise.resolve())).toThrow(EtfError);
  // @ts-expect-error: a symbol
  expect(() => queue.push(Symbol("s"))).toThrow(EtfError);
});

test("an option that is misspelled, or has no such value, is named", () => {
  const wrong: [EncodeOptions | object, string][] = [
    [{ compresed: true }, 'Misspelled option "compresed" should be "compressed"'],
    [{ values: "xml" }, "option values is not xml"],
  ];
  for (const [options, message] of wrong) expect(thrownBy(() => encode(1, options)).message).toBe(message);
  expect(thrownBy(() => decode(encode(1), { map: "object" } as object)).message).toBe(
    'Misspelled option "map" should be "maps"',
  );
  expect(thrownBy(() => decode(encode(1), { values: "xml" } as object)).code).toBe("ETF_OPTION");
});
