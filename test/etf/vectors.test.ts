import { inspect } from "node:util";
import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  atom,
  BitString,
  decode,
  type EncodeOptions,
  encode,
  Float,
  Fun,
  ImproperList,
  LocalTerm,
  Pid,
  Port,
  Reference,
  type Term,
  tuple,
} from "../../src/etf/index.js";

const hex = (bytes: string) => Buffer.from(bytes.replaceAll(" ", ""), "hex");
const ascii = (text: string) => Buffer.from(text).toString("hex");
const OTHER = `7709${ascii("other@far")}`;

describe("terms that decode to a value, which encodes to the same bytes", () => {
  const vectors: [string, string, Term, EncodeOptions?][] = [
    ["SMALL_INTEGER_EXT", "83 61 00", 0],
    ["SMALL_INTEGER_EXT, the largest", "83 61 ff", 255],
    ["INTEGER_EXT", "83 62 00000100", 256],
    ["INTEGER_EXT, negative", "83 62 ffffffff", -1],
    ["INTEGER_EXT, the least", "83 62 80000000", -(2 ** 31)],
    ["SMALL_BIG_EXT, the least positive", "83 6e 04 00 00000080", 2 ** 31],
    ["SMALL_BIG_EXT, the least negative", "83 6e 04 01 01000080", -(2 ** 31) - 1],
    ["SMALL_BIG_EXT, the largest safe", "83 6e 07 00 ffffffffffff1f", Number.MAX_SAFE_INTEGER],
    ["SMALL_BIG_EXT, beyond safe", "83 6e 07 00 00000000000020", 2n ** 53n],
    ["SMALL_BIG_EXT, beyond safe and negative", "83 6e 07 01 00000000000020", -(2n ** 53n)],
    ["SMALL_BIG_EXT of 64 bits", "83 6e 08 00 ffffffffffffffff", 2n ** 64n - 1n],
    ["SMALL_BIG_EXT of 65 bits", "83 6e 09 01 000000000000000001", -(2n ** 64n)],
    ["SMALL_BIG_EXT, the largest", `83 6e ff 00 ${"ff".repeat(255)}`, 2n ** 2040n - 1n],
    ["LARGE_BIG_EXT", `83 6f 00000100 01 ${"00".repeat(255)}01`, -(2n ** 2040n)],
    ["NEW_FLOAT_EXT", "83 46 40091eb851eb851f", 3.14],
    ["NEW_FLOAT_EXT, integral", "83 46 3ff0000000000000", new Float(1)],
    ["NEW_FLOAT_EXT, zero", "83 46 0000000000000000", new Float(0)],
    ["NEW_FLOAT_EXT, negative zero", "83 46 8000000000000000", new Float(-0)],
    ["NEW_FLOAT_EXT, integral beyond safe", "83 46 4340000000000000", 2 ** 53],
    ["NEW_FLOAT_EXT, the least", "83 46 0000000000000001", 5e-324],
    ["SMALL_ATOM_UTF8_EXT", `83 77 05 ${ascii("hello")}`, atom("hello")],
    ["SMALL_ATOM_UTF8_EXT, empty", "83 77 00", atom("")],
    ["SMALL_ATOM_UTF8_EXT of zero bytes", "83 77 04 00000000", atom("\0\0\0\0")],
    ["SMALL_ATOM_UTF8_EXT, not ASCII", "83 77 05 c3a5746f6d", atom("åtom")],
    ["ATOM_UTF8_EXT", `83 76 01fe ${"c3a5".repeat(255)}`, atom("å".repeat(255))],
    ["ATOM_UTF8_EXT, the longest", `83 76 03fc ${"f09f9880".repeat(255)}`, atom("😀".repeat(255))],
    ["ATOM_EXT", "83 64 0004 e5746f6d", atom("åtom"), { minorVersion: 1 }],
    ["an atom that ATOM_EXT cannot hold", `83 77 06 ${ascii("日本")}`, atom("日本"), { minorVersion: 1 }],
    ["true", `83 77 04 ${ascii("true")}`, true],
    ["false", `83 77 05 ${ascii("false")}`, false],
    ["nil, an atom like others", `83 77 03 ${ascii("nil")}`, atom("nil")],
    ["BINARY_EXT", `83 6d 00000003 ${ascii("bin")}`, Buffer.from("bin")],
    ["BINARY_EXT, empty", "83 6d 00000000", Buffer.alloc(0)],
    ["BIT_BINARY_EXT", "83 4d 00000001 03 a0", new BitString(hex("a0"), 3)],
    ["NIL_EXT", "83 6a", []],
    ["STRING_EXT", `83 6b 0004 ${ascii("text")}`, [...Buffer.from("text")]],
    ["STRING_EXT, the longest", `83 6b ffff ${"07".repeat(65535)}`, new Array(65535).fill(7)],
    ["LIST_EXT of bytes too many", `83 6c 00010000 ${"6107".repeat(65536)} 6a`, new Array(65536).fill(7)],
    ["LIST_EXT", "83 6c 00000002 6101 62 00000100 6a", [1, 256]],
    ["LIST_EXT of a list", "83 6c 00000001 6a 6a", [[]]],
    ["LIST_EXT, improper", "83 6c 00000002 6101 6102 6103", new ImproperList([1, 2], 3)],
    [
      "LIST_EXT, improper with a binary",
      "83 6c 00000001 6101 6d 00000000",
      new ImproperList([1], Buffer.alloc(0)),
    ],
    ["SMALL_TUPLE_EXT", `83 68 02 7702${ascii("ok")} 6101`, tuple(atom("ok"), 1)],
    ["SMALL_TUPLE_EXT, empty", "83 68 00", tuple()],
    ["LARGE_TUPLE_EXT", `83 69 00000100 ${"6a".repeat(256)}`, tuple(...new Array(256).fill([]))],
    [
      "MAP_EXT",
      `83 74 00000002 6101 6102 7701${ascii("k")} 6a`,
      new Map<Term, Term>([
        [1, 2],
        [atom("k"), []],
      ]),
    ],
    ["MAP_EXT, empty", "83 74 00000000", new Map()],
    ["a map in a tuple in a list", "83 6c 00000001 68 01 74 00000001 6a 6a 6a", [tuple(new Map([[[], []]]))]],
  ];
  test.each(vectors)("%s", (_name, bytes, term, options) => {
    expect(decode(hex(bytes))).toEqual(term);
    expect(encode(term, options).toString("hex")).toBe(hex(bytes).toString("hex"));
  });
});

describe("terms that only decode: there is a newer or a shorter form", () => {
  const text = (float: string) => ascii(float).padEnd(62, "0");
  const vectors: [string, string, unknown][] = [
    ["FLOAT_EXT", `83 63 ${text("1.50000000000000000000e+00")}`, 1.5],
    ["FLOAT_EXT, integral", `83 63 ${text("-2.00000000000000000000e+00")}`, new Float(-2)],
    ["FLOAT_EXT, all of its bytes used", `83 63 ${ascii("1.500000000000000000000000e+000")}`, 1.5],
    ["SMALL_ATOM_EXT", "83 73 01 e5", atom("å")],
    ["ATOM_EXT", "83 64 0004 e5746f6d", atom("åtom")],
    ["ATOM_EXT of true", `83 64 0004 ${ascii("true")}`, true],
    ["ATOM_UTF8_EXT, short", `83 76 0002 ${ascii("ok")}`, atom("ok")],
    ["LARGE_BIG_EXT, small", "83 6f 00000001 00 05", 5],
    ["SMALL_BIG_EXT of zero bytes", "83 6e 00 01", 0],
    ["SMALL_BIG_EXT, zero with a sign", "83 6e 04 01 00000000", 0],
    ["SMALL_BIG_EXT with leading zeros", "83 6e 0a 02 05000000000000000000", -5],
    ["LARGE_TUPLE_EXT, small", "83 69 00000001 6101", tuple(1)],
    ["LARGE_TUPLE_EXT, empty", "83 69 00000000", tuple()],
    ["STRING_EXT, empty", "83 6b 0000", []],
    ["LIST_EXT of none is its tail", "83 6c 00000000 6105", 5],
    ["LIST_EXT of none, an empty list", "83 6c 00000000 6a", []],
    ["LIST_EXT with a list for a tail", "83 6c 00000001 6101 6c 00000001 6102 6a", [1, 2]],
    ["LIST_EXT with a string for a tail", "83 6c 00000001 6101 6b 0002 4142", [1, 65, 66]],
    ["LIST_EXT with empty lists for tails", "83 6c 00000001 6101 6c 00000000 6c 00000000 6a", [1]],
    [
      "LIST_EXT with an improper tail",
      "83 6c 00000001 6101 6c 00000001 6102 6103",
      new ImproperList([1, 2], 3),
    ],
    ["BIT_BINARY_EXT of whole bytes", "83 4d 00000001 08 01", hex("01")],
    ["BIT_BINARY_EXT, empty", "83 4d 00000000 00", Buffer.alloc(0)],
    ["BIT_BINARY_EXT with bits that do not count", "83 4d 00000001 03 ff", new BitString(hex("e0"), 3)],
    ["a compressed term", `83 50 00000002 ${deflateSync(hex("6105")).toString("hex")}`, 5],
  ];
  test.each(vectors)("%s", (_name, bytes, value) => {
    expect(decode(hex(bytes))).toEqual(value);
  });
});

describe("opaque terms go back as the same bytes, and can be shown", () => {
  const fun = `00000000000000000000000000000000 00000001 00000001 7701${ascii("m")} 6107 6105 58${OTHER} 00000001 00000000 00000002 6101`;
  const vectors: [string, string, { readonly prototype: object }, object, string][] = [
    [
      "NEW_PID_EXT",
      `58 ${OTHER} 0000005c 00000001 00000003`,
      Pid,
      { node: atom("other@far"), id: 92, serial: 1, creation: 3 },
      "#Pid<other@far.92.1>",
    ],
    [
      "PID_EXT",
      `67 ${OTHER} 0000005c 00000000 02`,
      Pid,
      { id: 92, serial: 0, creation: 2 },
      "#Pid<other@far.92.0>",
    ],
    [
      "PID_EXT with an ATOM_EXT",
      `67 640003${ascii("a@b")} 00000001 00000000 02`,
      Pid,
      { node: atom("a@b"), id: 1 },
      "#Pid<a@b.1.0>",
    ],
    [
      "V4_PORT_EXT",
      `78 ${OTHER} 0000010000000000 00000003`,
      Port,
      { id: 2n ** 40n, creation: 3 },
      "#Port<other@far.1099511627776>",
    ],
    ["NEW_PORT_EXT", `59 ${OTHER} 00000007 00000003`, Port, { id: 7n, creation: 3 }, "#Port<other@far.7>"],
    [
      "PORT_EXT",
      `66 ${OTHER} 00000007 02`,
      Port,
      { node: atom("other@far"), id: 7n, creation: 2 },
      "#Port<other@far.7>",
    ],
    [
      "NEWER_REFERENCE_EXT",
      `5a 0003 ${OTHER} 00000003 00000001 00000002 000000ff`,
      Reference,
      { ids: [1, 2, 255], creation: 3 },
      "#Ref<other@far.1.2.255>",
    ],
    [
      "NEW_REFERENCE_EXT",
      `72 0002 ${OTHER} 02 00000001 00000002`,
      Reference,
      { node: atom("other@far"), ids: [1, 2], creation: 2 },
      "#Ref<other@far.1.2>",
    ],
    ["REFERENCE_EXT", `65 ${OTHER} 00000009 02`, Reference, { ids: [9], creation: 2 }, "#Ref<other@far.9>"],
    [
      "EXPORT_EXT",
      `71 7705${ascii("lists")} 7703${ascii("map")} 6102`,
      Fun,
      { external: true, module: atom("lists"), function: atom("map"), arity: 2 },
      "fun lists:map/2",
    ],
    [
      "EXPORT_EXT with an INTEGER_EXT",
      `71 7701${ascii("a")} 7703${ascii("B c")} 62 00000002`,
      Fun,
      { arity: 2 },
      "fun a:'B c'/2",
    ],
    [
      "NEW_FUN_EXT",
      `70 ${(4 + 1 + hex(fun).length).toString(16).padStart(8, "0")} 02 ${fun}`,
      Fun,
      { external: false, module: atom("m"), function: undefined, arity: 2 },
      "#Fun<m.1>",
    ],
    ["LOCAL_EXT", "79 0102030405", LocalTerm, {}, "#Local<6 bytes>"],
  ];
  test.each(vectors)("%s", (_name, bytes, type, fields, shown) => {
    const term = decode(hex(`83${bytes}`));
    expect(term).toBeInstanceOf(type as never);
    expect((term as Pid).bytes).toEqual(hex(bytes));
    for (const [name, value] of Object.entries(fields)) expect((term as never)[name], name).toEqual(value);
    expect(inspect(term)).toBe(shown);
    expect(encode(term)).toEqual(hex(`83${bytes}`));
    if (term instanceof LocalTerm) return;
    expect(encode(decode(encode([term, tuple(term)]))), "inside of others").toEqual(
      encode([term, tuple(term)]),
    );
    // The input is too long to be copied whole.
    const padded = decode(encode(tuple(Buffer.alloc(5000), term))) as { elements: unknown[] };
    expect(encode(padded.elements[1] as Term)).toEqual(hex(`83${bytes}`));
  });
});
