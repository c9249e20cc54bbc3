import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  atom,
  BitString,
  decode,
  decodePrefix,
  EtfError,
  type EtfErrorCode,
  encode,
  ImproperList,
  type Term,
  Tuple,
} from "../../src/etf/index.js";

const hex = (bytes: string) => Buffer.from(bytes.replaceAll(" ", ""), "hex");
const compressed = (claim: number, term: Buffer) => {
  const header = hex("83 50 00000000");
  header.writeUInt32BE(claim, 2);
  return Buffer.concat([header, deflateSync(term)]);
};

function failure(run: () => unknown): EtfError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EtfError);
    return error as EtfError;
  }
  throw new Error("it did not fail");
}

describe("bytes that are no term", () => {
  const PID = "58 7703614062";
  const FUN = "70 00000034 00 00000000000000000000000000000000 00000000";
  const vectors: [string, string | Buffer, EtfErrorCode, number | undefined][] = [
    ["nothing", "", "ETF_TRUNCATED", 0],
    ["a version alone", "83", "ETF_TRUNCATED", 1],
    ["another version", "82 6101", "ETF_VERSION", 0],
    ["two versions", "83 83 6101", "ETF_TAG", 1],
    ["a tag that is none", "83 ff", "ETF_TAG", 1],
    ["ATOM_CACHE_REF, which only distribution has", "83 52 00", "ETF_TAG", 1],
    ["FUN_EXT, which no BEAM reads since OTP 23", "83 75 00000000", "ETF_TAG", 1],
    ["LOCAL_EXT inside of a term", "83 68 01 79 00", "ETF_TAG", 3],
    ["a compressed term in a compressed term", compressed(2, hex("5000")), "ETF_TAG", 0],
    ["bytes after the term", "83 6101 00", "ETF_TRAILING", 3],
    ["bytes after the term, compressed", compressed(3, hex("610100")), "ETF_TRAILING", 2],
    [
      "bytes after the compressed term",
      Buffer.concat([compressed(2, hex("6101")), hex("00")]),
      "ETF_TRAILING",
      16,
    ],
    ["SMALL_INTEGER_EXT cut", "83 61", "ETF_TRUNCATED", 1],
    ["INTEGER_EXT cut", "83 62 000000", "ETF_TRUNCATED", 1],
    ["NEW_FLOAT_EXT cut", "83 46 00000000000000", "ETF_TRUNCATED", 1],
    ["NEW_FLOAT_EXT of NaN", "83 46 7ff8000000000000", "ETF_MALFORMED", 1],
    ["NEW_FLOAT_EXT of infinity", "83 46 fff0000000000000", "ETF_MALFORMED", 1],
    ["FLOAT_EXT cut", `83 63 ${"31".repeat(30)}`, "ETF_TRUNCATED", 1],
    ["FLOAT_EXT of words", `83 63 ${"6e616e".padEnd(62, "0")}`, "ETF_MALFORMED", 1],
    ["FLOAT_EXT of an integer", `83 63 ${"31".padEnd(62, "0")}`, "ETF_MALFORMED", 1],
    [
      "FLOAT_EXT too large",
      `83 63 ${Buffer.from("1.0e+999").toString("hex").padEnd(62, "0")}`,
      "ETF_MALFORMED",
      1,
    ],
    ["SMALL_ATOM_UTF8_EXT without a length", "83 77", "ETF_TRUNCATED", 1],
    ["SMALL_ATOM_UTF8_EXT cut", "83 77 02 61", "ETF_TRUNCATED", 1],
    ["SMALL_ATOM_UTF8_EXT not UTF-8", "83 77 01 e5", "ETF_MALFORMED", 3],
    ["SMALL_ATOM_UTF8_EXT of a surrogate", "83 77 03 eda080", "ETF_MALFORMED", 3],
    ["ATOM_UTF8_EXT cut", "83 76 ffff 61", "ETF_TRUNCATED", 1],
    ["ATOM_UTF8_EXT too long", `83 76 0100 ${"61".repeat(256)}`, "ETF_LIMIT", 4],
    ["ATOM_EXT cut", "83 64 0002 61", "ETF_TRUNCATED", 1],
    ["ATOM_EXT too long", `83 64 0100 ${"61".repeat(256)}`, "ETF_LIMIT", 4],
    ["SMALL_ATOM_EXT cut", "83 73 02 61", "ETF_TRUNCATED", 1],
    ["BINARY_EXT that claims 2^32-1", "83 6d ffffffff", "ETF_TRUNCATED", 1],
    ["BIT_BINARY_EXT that claims 2^32-1", "83 4d ffffffff 01 00", "ETF_TRUNCATED", 1],
    ["BIT_BINARY_EXT of 9 bits a byte", "83 4d 00000001 09 00", "ETF_MALFORMED", 1],
    ["BIT_BINARY_EXT of no bits", "83 4d 00000001 00 00", "ETF_MALFORMED", 1],
    ["BIT_BINARY_EXT of bits of no byte", "83 4d 00000000 03", "ETF_MALFORMED", 1],
    ["STRING_EXT cut", "83 6b ffff 00", "ETF_TRUNCATED", 1],
    ["SMALL_BIG_EXT cut", "83 6e 05 00 00000000", "ETF_TRUNCATED", 3],
    ["LARGE_BIG_EXT that claims 2^32-1", "83 6f ffffffff 00 00", "ETF_TRUNCATED", 6],
    ["LIST_EXT that claims 2^32-1", "83 6c ffffffff 6a", "ETF_TRUNCATED", 6],
    ["LIST_EXT without a tail", "83 6c 00000001 6a", "ETF_TRUNCATED", 6],
    ["LIST_EXT with a tail that claims 2^32-1", "83 6c 00000001 6a 6c ffffffff 6a", "ETF_TRUNCATED", 12],
    ["LARGE_TUPLE_EXT that claims 2^32-1", "83 69 ffffffff 6a", "ETF_TRUNCATED", 6],
    ["SMALL_TUPLE_EXT cut", "83 68 02 6a", "ETF_TRUNCATED", 3],
    ["MAP_EXT that claims 2^32-1", "83 74 ffffffff 6a", "ETF_TRUNCATED", 6],
    ["MAP_EXT without a value", "83 74 00000001 6a", "ETF_TRUNCATED", 6],
    ["MAP_EXT with a key twice", "83 74 00000002 6101 6a 62 00000001 6a", "ETF_MALFORMED", 15],
    ["claims that only together are too many", "83 68 04 68 04 68 04 6a 6a 6a 6a 6a 6a", "ETF_TRUNCATED", 7],
    ["NEW_PID_EXT cut", `83 ${PID} 0000`, "ETF_TRUNCATED", 1],
    ["NEW_PID_EXT without a node", "83 58 6101 00000000 00000000 00000000", "ETF_MALFORMED", 2],
    ["NEW_PID_EXT whose node is not UTF-8", "83 58 7701ff 00000000 00000000 00000000", "ETF_MALFORMED", 4],
    ["NEWER_REFERENCE_EXT of too many words", `83 5a 0006 7701 61 ${"00".repeat(28)}`, "ETF_MALFORMED", 1],
    ["EXPORT_EXT with an atom for an arity", "83 71 770161 770161 770161", "ETF_MALFORMED", 8],
    ["NEW_FUN_EXT cut", "83 70 00000000", "ETF_TRUNCATED", 1],
    [
      "NEW_FUN_EXT with 2^32-1 variables",
      `83 ${FUN} ffffffff 770161 6100 6100 ${PID} ${"00".repeat(12)}`,
      "ETF_TRUNCATED",
      undefined,
    ],
    [
      "NEW_FUN_EXT of another size",
      `83 ${FUN} 00000000 770161 6100 6100 ${PID} ${"00".repeat(12)}`,
      "ETF_MALFORMED",
      1,
    ],
    ["a compressed term cut", "83 50 0000", "ETF_TRUNCATED", 2],
    ["a compressed term that is no zlib stream", "83 50 00000002 0102030405", "ETF_INFLATE", 6],
    [
      "a compressed term cut in its stream",
      compressed(1000, Buffer.alloc(1000, 106)).subarray(0, 15),
      "ETF_INFLATE",
      6,
    ],
    ["a compressed term that claims too little", compressed(1, hex("6101")), "ETF_INFLATE", 6],
    ["a compressed term that claims too much", compressed(3, hex("6101")), "ETF_INFLATE", 2],
    [
      "a compressed term that claims what no stream of its size makes",
      compressed(60_000_000, hex("6101")),
      "ETF_INFLATE",
      2,
    ],
    ["a compressed term that claims 2^32-1", compressed(2 ** 32 - 1, hex("6101")), "ETF_LIMIT", 2],
  ];
  test.each(vectors)("%s", (_name, bytes, code, offset) => {
    const error = failure(() => decode(typeof bytes === "string" ? hex(bytes) : bytes));
    expect(error.code).toBe(code);
    if (offset !== undefined) expect(error.offset).toBe(offset);
  });

  test("a term cut anywhere is truncated", () => {
    const whole = encode([
      new Tuple([1, -1, 2 ** 40, 0.5, atom("a"), "text"]),
      new Map([[[1, 2], 2n ** 80n]]),
    ]);
    for (let end = 0; end < whole.length; end++) {
      expect(failure(() => decode(whole.subarray(0, end))).code, `${end} bytes`).toBe("ETF_TRUNCATED");
    }
  });
});

describe("what a compressed term may inflate to", () => {
  const zeros = encode(Buffer.alloc(1_000_000), { compressed: true });

  test("is capped by an option", () => {
    expect(failure(() => decode(zeros, { maxInflatedSize: 1_000_004 })).code).toBe("ETF_LIMIT");
    expect(decode(zeros, { maxInflatedSize: 1_000_005 })).toHaveLength(1_000_000);
  });

  test("is 64 MiB by default", () => {
    const large = encode(Buffer.alloc(64 * 1024 * 1024), { compressed: 1 });
    expect(failure(() => decode(large)).code).toBe("ETF_LIMIT");
  });

  test("stops there, whatever the stream goes on with", () => {
    const bomb = Buffer.from(encode(Buffer.alloc(60 * 1024 * 1024), { compressed: true }));
    bomb.writeUInt32BE(1000, 2);
    const before = process.memoryUsage().arrayBuffers;
    expect(failure(() => decode(bomb)).code).toBe("ETF_INFLATE");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });
});

describe("a million levels of nesting", () => {
  const DEPTH = 1_000_000;
  const repeated = (part: string) =>
    part === "" ? hex("") : Buffer.alloc(DEPTH * hex(part).length, hex(part));
  const nested = (head: string, bottom: string, tail = "") =>
    Buffer.concat([hex("83"), repeated(head), hex(bottom), repeated(tail)]);
  test.each([
    ["lists", nested("6c 00000001", "6a", "6a")],
    ["tuples", nested("68 01", "6a")],
    ["values of maps", nested("74 00000001 6101", "6a")],
    ["keys of maps", nested("74 00000001", "6a", "6101")],
    ["improper lists", nested("6c 00000001", "6101", "6102")],
  ])("of %s goes both ways", { timeout: 120_000 }, (_name, bytes) => {
    expect(encode(decode(bytes) as Term).equals(bytes)).toBe(true);
  });

  test("of tails is one list", () => {
    const list = decode(nested("6c 00000001 6101", "6a")) as number[];
    expect(list).toHaveLength(DEPTH);
    const improper = decode(nested("6c 00000001 6101", "6102")) as ImproperList;
    expect([improper.elements.length, improper.tail]).toEqual([DEPTH, 2]);
  });

  test("of funs is walked, or refused", () => {
    const head = hex(
      `70 ffffffff 00 ${"00".repeat(20)} 00000001 770161 6100 6100 58 770161 ${"00".repeat(12)}`,
    );
    const bytes = Buffer.concat([hex("83"), ...new Array(100_000).fill(head), hex("6a")]);
    expect(failure(() => decode(bytes)).code).toBe("ETF_MALFORMED");
  });

  test("that is cut is refused", () => {
    const bytes = nested("6c 00000001", "6a", "6a");
    expect(failure(() => decode(bytes.subarray(0, bytes.length - 1))).code).toBe("ETF_TRUNCATED");
  });
});

describe("values that no term stands for", () => {
  class Thing {}
  const cycle: Term[] = [1];
  cycle.push([cycle]);
  const loop = new Map<Term, Term>();
  loop.set(atom("self"), new Tuple([loop]));
  const object: { self: Term } = { self: 1 };
  object.self = new ImproperList([object], 1);
  const vectors: [string, unknown, EtfErrorCode][] = [
    ["NaN", Number.NaN, "ETF_UNENCODABLE"],
    ["infinity", [Number.POSITIVE_INFINITY], "ETF_UNENCODABLE"],
    ["a function", () => 1, "ETF_UNENCODABLE"],
    ["a symbol", Symbol("s"), "ETF_UNENCODABLE"],
    ["a Date", new Date(0), "ETF_UNENCODABLE"],
    ["a Set", new Set(), "ETF_UNENCODABLE"],
    ["an array of numbers that are not bytes", new Uint16Array(1), "ETF_UNENCODABLE"],
    ["an instance of a class", { inside: new Thing() }, "ETF_UNENCODABLE"],
    ["a short string with a lone surrogate", "\ud800", "ETF_UNENCODABLE"],
    ["a long string with a lone surrogate", `${"long ".repeat(20)}\udfff`, "ETF_UNENCODABLE"],
    ["a list in itself", cycle, "ETF_CYCLE"],
    ["a map in itself", loop, "ETF_CYCLE"],
    ["an object in itself", object, "ETF_CYCLE"],
    ["a local term in another", [decode(hex("83 79 00"))], "ETF_UNENCODABLE"],
  ];
  test.each(vectors)("%s", (_name, value, code) => {
    expect(failure(() => encode(value as Term)).code).toBe(code);
    expect(encode([1, "after a failure"]), "the encoder is as before").toEqual(
      encode([1, "after a failure"]),
    );
  });

  test("one value in many places is no cycle", () => {
    let deep: Term = [1000];
    for (let level = 0; level < 2000; level++) deep = [deep];
    expect(decode(encode([deep, deep, [deep]]))).toHaveLength(3);
  });
});

test("bytes that change under the decoder end in a result or an error", () => {
  const bytes = encode(new Tuple([atom("a"), "b".repeat(100), [1, 2, 300], atom("c")]));
  for (let at = 0; at < bytes.length; at++) {
    const copy = Buffer.from(bytes);
    const change = () => {
      copy.fill(255, at);
      return 1;
    };
    try {
      decode(copy, { atoms: change });
    } catch (error) {
      expect(error).toBeInstanceOf(EtfError);
    }
  }
});

test("bytes that are taken away under the decoder end in an error", () => {
  const kept = decode(encode("a binary in the same pool")) as Buffer;
  for (const rest of [
    "some text",
    new BitString(Buffer.from([128]), 1),
    "long".repeat(2000),
    1,
    [1, 2, 300],
  ]) {
    for (const binaries of ["buffer", "view", "string"] as const) {
      const bytes = new Uint8Array(encode(new Tuple([atom("a"), rest])));
      const detach = () => structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      expect(failure(() => decode(bytes, { atoms: detach, binaries })).code).toMatch(/ETF_TRUNCATED|ETF_TAG/);
    }
  }
  decode(encode(["other texts", "that come after"]));
  expect(kept.toString()).toBe("a binary in the same pool");
});

test("decodePrefix says how many bytes the term took", () => {
  const padding = Buffer.alloc(13);
  for (const options of [{}, { compressed: true }]) {
    const bytes = encode("a".repeat(500), options);
    expect(decodePrefix(Buffer.concat([bytes, padding])).bytesRead).toBe(bytes.length);
    expect(decode(Buffer.concat([bytes, padding]), { trailing: "ignore", binaries: "string" })).toBe(
      "a".repeat(500),
    );
  }
});
