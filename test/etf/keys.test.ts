// Keys of maps by Erlang's equality: the codec neither writes nor reads a map that no BEAM reads.
import { describe, expect, test } from "vitest";
import {
  atom,
  BitString,
  type DecodeOptions,
  decode,
  type EncodeOptions,
  encode,
  Float,
  ImproperList,
  type Pid,
  type Term,
  tuple,
} from "../../src/etf";

const node = Buffer.from([119, 3, 110, 64, 104]); // n@h
const numbers = Buffer.from([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
const pid = decode(Buffer.concat([Buffer.from([131, 88]), node, numbers])) as Pid;
const oldPid = decode(
  Buffer.concat([Buffer.from([131, 103, 100, 0, 3]), node.subarray(2), numbers.subarray(0, 8), Buffer.of(3)]),
) as Pid;

/** Two values that JavaScript tells apart, and that are the same term. */
const same: [string, Term, Term, EncodeOptions?][] = [
  ["an integer and a bigint", 1, 1n],
  ["a string and a Buffer", "a", Buffer.from("a")],
  ["a string and a Uint8Array", "é", new Uint8Array([0xc3, 0xa9])],
  ["Buffers", Buffer.from("abc"), Buffer.from("abc")],
  ["empty Buffers", Buffer.alloc(0), Buffer.alloc(0)],
  ["true and its atom", true, atom("true")],
  ["null and its atom", null, atom("null")],
  ["null and the atom that is asked for", null, atom("nil"), { null: "nil" }],
  ["undefined and its atom", undefined, atom("undefined")],
  ["null and true", null, true, { null: "true" }],
  ["tuples", tuple(1, "x"), tuple(1n, Buffer.from("x"))],
  ["empty tuples", tuple(), tuple()],
  ["arrays", [1, [2]], [1n, [2]]],
  ["an array with a hole", [undefined], new Array(1)],
  ["empty arrays", [], []],
  ["improper lists", new ImproperList([1], 2), new ImproperList([1n], 2)],
  ["floats", new Float(1), new Float(1)],
  ["a Float and a number", 1.5, new Float(1.5)],
  ["a Float and a large number", 1e300, new Float(1e300)],
  ["bits", new BitString(Buffer.of(0xa0), 3), new BitString(Buffer.of(0xa0), 3)],
  ["a string and a list of its characters", "hi", [104, 105], { strings: "list" }],
  [
    "maps in another order",
    { a: 1, b: 2 },
    new Map<Term, Term>([
      ["b", 2n],
      ["a", 1],
    ]),
  ],
  ["an object and a map of atoms", { a: 1 }, new Map([[atom("a"), 1]]), { keys: "atom" }],
  ["a process in both of its forms", pid, oldPid],
  ["nested containers", [tuple({ a: [1] })], [tuple(new Map([[Buffer.from("a"), [1n]]]))]],
];

/** Two similar values that are different terms. */
const different: [string, Term, Term][] = [
  ["an integer and a float", 1, new Float(1)],
  ["zero and minus zero", new Float(0), new Float(-0)],
  ["a large integer and the float of its size", 10n ** 20n, 1e20],
  ["an atom and a binary", atom("a"), "a"],
  ["a binary and a list", Buffer.from([1]), [1]],
  ["a tuple and a list", tuple(1), [1]],
  ["a list and one with a tail", [1, 2], new ImproperList([1], 2)],
  ["bits and bytes", new BitString(Buffer.of(0xa0), 3), Buffer.of(0xa0)],
  ["bits of another length", new BitString(Buffer.of(0xa0), 3), new BitString(Buffer.of(0xa0), 4)],
  ["binaries with commas", tuple("a,b"), tuple("a", "b")],
  ["nested in another way", [[1], [2]], [[1, [2]]]],
  ["maps with pairs the other way round", { a: "b" }, { b: "a" }],
  ["true and a string", true, "true"],
];

/** A map of two pairs, whatever the keys. */
function pairOf(one: Term, other: Term, options?: EncodeOptions): Buffer {
  const bytes = [one, other].map((key) => encode(key, options).subarray(1));
  const value = Buffer.of(106);
  return Buffer.concat([
    Buffer.from([131, 116, 0, 0, 0, 2]),
    bytes[0] as Buffer,
    value,
    bytes[1] as Buffer,
    value,
  ]);
}

const mapOf = (one: Term, other: Term): Map<Term, Term> =>
  new Map<Term, Term>([
    [one, []],
    [other, []],
  ]);

describe.each(same)("%s", (_name, one, other, options) => {
  test("are one key too many to encode", () => {
    expect(() => encode(mapOf(one, other), options)).toThrow(
      expect.objectContaining({ code: "ETF_UNENCODABLE" }),
    );
    expect(() => encode([{ deep: tuple(mapOf(other, one)) }], options)).toThrow(
      expect.objectContaining({ code: "ETF_UNENCODABLE" }),
    );
  });
  test("are one key too many to decode", () => {
    for (const decoding of [{}, { binaries: "view" }] as DecodeOptions[])
      expect(() => decode(pairOf(one, other, options), decoding)).toThrow(
        expect.objectContaining({ code: "ETF_MALFORMED" }),
      );
  });
});

test.each(different)("%s are two keys", (_name, one, other) => {
  const bytes = encode(mapOf(one, other));
  expect(bytes).toEqual(pairOf(one, other));
  expect((decode(bytes) as Map<unknown, unknown>).size).toBe(2);
  expect(encode(decode(bytes))).toEqual(bytes);
});

test("one equal key among many is found", () => {
  for (const count of [2, 8, 9, 100]) {
    const keys = Array.from({ length: count }, (_, i) => Buffer.from(`key ${i}`));
    const map = new Map<Term, Term>(keys.map((key) => [key, 1]));
    const bytes = encode(map);
    expect((decode(bytes) as Map<unknown, unknown>).size).toBe(count);
    map.set(Buffer.from(`key ${count >> 1}`), 2);
    expect(() => encode(map)).toThrow(expect.objectContaining({ code: "ETF_UNENCODABLE" }));
    const last = bytes.lastIndexOf(`key ${count - 1}`);
    const twice = Buffer.from(bytes);
    twice.write("key 0 ".slice(0, `key ${count - 1}`.length), last);
    if (count <= 10) expect(() => decode(twice)).toThrow(expect.objectContaining({ code: "ETF_MALFORMED" }));
  }
});

test("keys of any depth are compared, and a key that contains its map is a cycle", () => {
  const deep = (): Term => {
    let term: Term = [];
    for (let i = 0; i < 100_000; i++) term = i % 2 ? [term] : tuple(term);
    return term;
  };
  expect(() => encode(mapOf(deep(), deep()))).toThrow(expect.objectContaining({ code: "ETF_UNENCODABLE" }));
  expect((decode(encode(mapOf(deep(), [deep()]))) as Map<unknown, unknown>).size).toBe(2);
  const map = mapOf(1, 2);
  map.set([map], 3);
  expect(() => encode(map)).toThrow(expect.objectContaining({ code: "ETF_CYCLE" }));
});

test("options that show different terms alike leave tuples of them apart", () => {
  const bytes = encode(mapOf(tuple(atom("a")), tuple("a")));
  expect((decode(bytes, { atoms: "string", binaries: "string" }) as Map<unknown, unknown>).size).toBe(2);
});

test("a property name with a lone surrogate is refused in whatever form it would be written", () => {
  for (const options of [{}, { strings: "list" }, { keys: "atom" }] as EncodeOptions[])
    expect(() => encode({ "\ud800": 1 }, options)).toThrow(
      expect.objectContaining({ code: "ETF_UNENCODABLE" }),
    );
});
