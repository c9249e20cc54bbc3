import { inspect } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  type Atom,
  atom,
  BitString,
  type Decoded,
  decode,
  encode,
  Float,
  ImproperList,
  type Pid,
  type Term,
  type Tuple,
  tuple,
} from "../../src/etf/index.js";
import { thrownBy } from "../support/errors";

const again = (term: Term) => decode(encode(term));

describe("atoms", () => {
  test("of one name are one object, decoded or made", () => {
    expect(atom("ok")).toBe(atom("ok"));
    expect(again(atom("ok"))).toBe(atom("ok"));
    expect(again(atom("é"))).toBe(atom("é"));
    expect(new Map([[atom("key"), 1]]).get(again(atom("key")) as Atom)).toBe(1);
  });

  test("with like bytes are told apart", () => {
    const names = [
      "",
      "\0",
      "\0\0",
      "abcd",
      "abce",
      "abcdefgh",
      "abcdXefgh",
      "abcdYefgh",
      "é",
      "Ã©",
      "true ",
      "\0\0\0\0",
    ];
    for (let round = 0; round < 3; round++) {
      for (const name of names) expect((again(atom(name)) as Atom).name).toBe(name);
    }
  });

  test("have at most 255 characters, whatever their bytes", () => {
    expect(again(atom("😀".repeat(255)))).toBe(atom("😀".repeat(255)));
    expect(() => atom("a".repeat(256))).toThrow(expect.objectContaining({ code: "ETF_LIMIT" }));
    expect(() => atom("\ud800")).toThrow(expect.objectContaining({ code: "ETF_UNENCODABLE" }));
  });

  test("names in Latin-1 and in UTF-8 are told apart, whichever came first", () => {
    const latin1 = (name: string) =>
      decode(Buffer.concat([Buffer.from([131, 100, 0, name.length]), Buffer.from(name, "latin1")]));
    const utf8 = (name: string) => {
      const bytes = Buffer.from(name);
      return decode(Buffer.concat([Buffer.from([131, 119, bytes.length]), bytes]));
    };
    for (const length of [0, 1, 3, 8, 9, 100]) {
      const plain = `first latin1 ${"x".repeat(100)}`.slice(0, length);
      expect(latin1(plain)).toBe(atom(plain));
      expect(utf8(plain)).toBe(atom(plain));
      // The bytes of one are those of the other.
      const accented = `é${"y".repeat(length)}`;
      const looksAlike = Buffer.from(accented).toString("latin1");
      for (let i = 0; i < 2; i++) {
        expect(utf8(accented)).toBe(atom(accented));
        expect(latin1(looksAlike)).toBe(atom(looksAlike));
        expect(latin1(accented)).toBe(atom(accented));
      }
    }
    expect([latin1("true"), latin1("false")]).toEqual([true, false]);
    expect(decode(Buffer.from([131, 100, 0, 1, 97]), { atoms: "string" })).toBe("a");
  });

  test("that nobody holds are collected", { timeout: 60_000 }, async () => {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const names = 100_000;
    const decodeMany = (prefix: string) => {
      for (let index = 0; index < names; index++)
        decode(encodedAtom(`${prefix} ${index} ${"x".repeat(100)}`));
    };
    const used = async () => {
      for (let round = 0; round < 3; round++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return process.memoryUsage().heapUsed;
    };
    decodeMany("first");
    const before = await used();
    decodeMany("second");
    expect((await used()) - before).toBeLessThan(names * 20);
  });
});

function encodedAtom(name: string): Buffer {
  return Buffer.concat([Buffer.from([131, 119, name.length]), Buffer.from(name)]);
}

describe("numbers", () => {
  test("are integers when safe, else floats; bigints are always integers", () => {
    expect(again(-0)).toBe(0);
    expect(again(5n)).toBe(5);
    expect(again(2n ** 53n)).toBe(2n ** 53n);
    expect(again(2 ** 53)).toBe(2 ** 53);
    expect(again(1e300)).toBe(1e300);
    expect(encode(1e300)[1]).toBe(70);
  });

  test("keep every bit of an integer of any length", () => {
    for (const bits of [...Array(200).keys(), 1000, 2039, 2040, 2041, 8192, 100_000]) {
      for (const offset of [-1n, 0n, 1n]) {
        const value = (1n << BigInt(bits)) + offset;
        expect(BigInt(again(value) as bigint)).toBe(value);
        expect(BigInt(again(-value) as bigint)).toBe(-value);
      }
    }
  });

  test("that are floats come back as floats", () => {
    for (const value of [0, -0, 1, -5, 2 ** 52]) {
      const float = again(new Float(value)) as Float;
      expect(float).toBeInstanceOf(Float);
      expect(float.value).toBe(value);
      expect(encode(float)).toEqual(encode(new Float(value)));
    }
    expect(again(new Float(0.5))).toBe(0.5);
    expect(Number(new Float(2)) + 1).toBe(3);
    expect(new Float(2) > new Float(1)).toBe(true);
  });
});

describe("values that are not shown as they were given", () => {
  const vectors: [string, Term, unknown][] = [
    ["a string is a binary of UTF-8", "日本", Buffer.from("日本")],
    ["a long string too", "é".repeat(40_000), Buffer.from("é".repeat(40_000))],
    ["a Uint8Array is a binary", new Uint8Array([1, 2]), Buffer.from([1, 2])],
    ["null is the atom null", null, atom("null")],
    ["undefined is the atom undefined", [undefined], [atom("undefined")]],
    ["atom true is a boolean", atom("true"), true],
    ["a plain object is a map of binaries", { a: 1 }, new Map([[Buffer.from("a"), 1]])],
    ["a string in a list of bytes keeps the list long", [1, "a"], [1, Buffer.from("a")]],
  ];
  test.each(vectors)("%s", (_name, term, value) => {
    expect(again(term)).toEqual(value);
  });

  test("a hole in an array is undefined", () => {
    expect(again(new Array(2) as Term[])).toEqual([atom("undefined"), atom("undefined")]);
  });
});

describe("decode's options", () => {
  const message = encode(
    tuple(
      atom("ok"),
      true,
      [104, 105],
      "text",
      Buffer.from([255]),
      new Float(2),
      new Map<Term, Term>([
        [atom("k"), 1],
        ["b", 2],
        [3, 4],
      ]),
    ),
  );

  test("atoms as strings, or as a function has them", () => {
    expect((decode(message, { atoms: "string" }) as Tuple).elements.slice(0, 2)).toEqual(["ok", true]);
    const nil = (name: string) => (name === "nil" ? null : atom(name));
    expect(decode(encode([atom("nil"), atom("x"), false]), { atoms: nil })).toEqual([null, atom("x"), false]);
  });

  test("maps as objects", () => {
    const [, , , , , , map] = decode(message, { maps: "object" }) as Tuple;
    expect(map).toEqual({ k: 1, b: 2, 3: 4 });
  });

  test("a key __proto__ sets no prototype", () => {
    const object = decode(encode(new Map([["__proto__", [1000]]])), { maps: "object" }) as object;
    expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
    expect(Object.entries(object)).toEqual([["__proto__", [1000]]]);
    expect(encode(object as Term)).toEqual(encode(new Map([["__proto__", [1000]]])));
  });

  test("maps as objects refuse a key that is no name, and two that are one", () => {
    for (const key of [tuple(1), Buffer.from([255]), new Float(1)]) {
      const bytes = encode(new Map([[key, 1]]));
      expect(() => decode(bytes, { maps: "object" })).toThrow(
        expect.objectContaining({ code: "ETF_MALFORMED" }),
      );
    }
    const twice = encode(
      new Map<Term, Term>([
        [atom("a"), 1],
        ["a", 2],
      ]),
    );
    expect(() => decode(twice, { maps: "object" })).toThrow(
      expect.objectContaining({ code: "ETF_MALFORMED" }),
    );
  });

  test("strings of bytes as strings", () => {
    expect(decode(encode([104, 105, 255]), { strings: "string" })).toBe("hiÿ");
    expect(decode(encode([104, 1000]), { strings: "string" })).toEqual([104, 1000]);
  });

  test("binaries as strings where they are UTF-8", () => {
    const binaries = [
      "",
      "short",
      "é",
      "a text that is longer than the loop copies",
      "日本語".repeat(20),
      Buffer.from([255]),
    ];
    expect(decode(encode(binaries), { binaries: "string" })).toEqual(binaries);
  });

  test("binaries as views of the input", () => {
    const bytes = encode([Buffer.from("some bytes that are there")]);
    const [view] = decode(bytes, { binaries: "view" }) as [Buffer];
    bytes.fill(42);
    expect(view.toString()).toBe("*".repeat(25));
  });

  test.each([3, 30, 3000, 30_000])("binaries of %d bytes share nothing with the input by default", (size) => {
    const bytes = encode([Buffer.alloc(size, 7), new BitString(Buffer.alloc(size, 0x80), 1), "x".repeat(20)]);
    const [binary, bits, text] = decode(bytes) as [Buffer, BitString, Buffer];
    bytes.fill(42);
    expect([binary.equals(Buffer.alloc(size, 7)), bits.bytes.at(-1), text.toString()]).toEqual([
      true,
      0x80,
      "x".repeat(20),
    ]);
    binary.fill(1);
    expect(text.toString()).toBe("x".repeat(20));
  });

  test("transferring one binary takes no other along", () => {
    const [one, other] = decode(encode(["one binary", "the other"])) as [Buffer, Buffer];
    try {
      structuredClone(one, { transfer: [one.buffer as ArrayBuffer] });
    } catch (error) {
      expect((error as Error).name).toBe("DataCloneError");
    }
    expect(other.toString()).toBe("the other");
    expect(decode(encode("more"), { binaries: "string" })).toBe("more");
  });

  test("floats as plain numbers", () => {
    expect(decode(encode([new Float(2), new Float(-0)]), { floats: "number" })).toEqual([2, -0]);
  });

  test("a value that an option does not have is refused", () => {
    const numbers = [Number.NaN, "1", [5], 10n, null, true, 1.5, -1, 2 ** 53].map((maxInflatedSize) => ({
      maxInflatedSize,
    }));
    for (const options of [{ maps: "record" }, { atoms: 1 }, ...numbers]) {
      expect(() => decode(message, options as never)).toThrow(
        expect.objectContaining({ code: "ETF_OPTION" }),
      );
    }
    for (const options of [
      { compressed: 10 },
      { compressed: "9" },
      { compressed: 9n },
      { compressed: null },
      { compressed: [] },
      { minorVersion: 3 },
      { strings: "atom" },
      { keys: "string" },
      { null: [] },
      { null: 5 },
      { null: null },
      { null: new Date(5) },
      null,
      5,
      true,
      () => 1,
    ]) {
      if (typeof options !== "object" || options === null)
        expect(() => decode(message, options as never)).toThrow(
          expect.objectContaining({ code: "ETF_OPTION" }),
        );
      expect(() => encode(1, options as never)).toThrow(expect.objectContaining({ code: "ETF_OPTION" }));
    }
    expect(decode(message, { maxInflatedSize: Number.POSITIVE_INFINITY })).toBeDefined();
    expect(() => decode("text" as never)).toThrow(TypeError);
    for (const name of [[], 5, null, new Date(5)]) expect(() => atom(name as never)).toThrow("is a string");
    const codes = [
      () => atom(5 as never),
      () => decode("text" as never),
      () => new ImproperList([], 1),
      () => new ImproperList([1], []),
      () => new BitString(Buffer.from("x"), 8),
    ].map((wrong) => (thrownBy(wrong) as NodeJS.ErrnoException).code);
    expect(codes).toEqual([
      "ERR_INVALID_ARG_TYPE",
      "ERR_INVALID_ARG_TYPE",
      ...Array(3).fill("ERR_INVALID_ARG_VALUE"),
    ]);
  });

  test("a Uint8Array over part of a shared buffer is read in place", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64), 7);
    shared.set(encode(tuple(1, "two")));
    expect(decode(shared, { trailing: "ignore", binaries: "string" })).toEqual(tuple(1, "two"));
  });
});

describe("encode's options", () => {
  test("strings as lists of characters", () => {
    expect(decode(encode(["hi", "日", ""], { strings: "list" }))).toEqual([[104, 105], [0x65e5], []]);
    expect(decode(encode({ a: "b" }, { strings: "list" }))).toEqual(new Map([[Buffer.from("a"), [98]]]));
  });

  test("property names as atoms", () => {
    expect(decode(encode({ a: { b: null } }, { keys: "atom", null: "nil" }))).toEqual(
      new Map([[atom("a"), new Map([[atom("b"), atom("nil")]])]]),
    );
  });

  test("compressed, where it is shorter", () => {
    const text = "a".repeat(1000);
    for (const compressed of [true, 1, 9]) {
      const bytes = encode(text, { compressed });
      expect([bytes[1], bytes.readUInt32BE(2)]).toEqual([80, 1005]);
      expect(decode(bytes, { binaries: "string" })).toBe(text);
    }
    expect(encode(text, { compressed: 0 })).toEqual(encode(text));
    expect(encode("short", { compressed: true })).toEqual(encode("short"));
    // As in OTP, the compressed form is kept if it is not longer.
    expect(encode(atom("a".repeat(16)), { compressed: true })[1]).toBe(80);
    expect(encode(atom("a".repeat(15)), { compressed: true })[1]).toBe(80);
    expect(encode(atom("a".repeat(14)), { compressed: true })[1]).toBe(119);
  });
});

test("what was encoded stays as it was, whatever is encoded after it", () => {
  // Sizes around those at which small terms stop sharing memory and the shared memory is full.
  const texts = Array.from({ length: 400 }, (_, i) => String(i).repeat((i * 97) % 3001));
  const kept = texts.map((text) => [text, encode([text, i32s(text.length % 7)])] as const);
  const failing = ["x".repeat(3000), Number.NaN];
  expect(() => encode(failing)).toThrow();
  for (const [text, bytes] of kept)
    expect(decode(bytes, { binaries: "string" })).toEqual([text, i32s(text.length % 7)]);
});

const i32s = (count: number) => Array.from({ length: count }, (_, i) => 1000 + i);

test("memory that is shared to the last byte holds whole terms", () => {
  // Two bytes each, so that one of them ends where the memory does.
  for (let i = 0; i < 20_000; i++) expect(encode([]).toString("hex")).toBe("836a");
});

test("what was encoded can't be transferred, since its neighbours would go along", () => {
  const bytes = encode("a short text");
  try {
    structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  } catch {
    // From Node 21 on; before, it is copied.
  }
  expect(decode(bytes, { binaries: "string" })).toBe("a short text");
});

test("memory that was detached all the same is not used again", () => {
  // From Node 22 on ArrayBuffer's `transfer` can do this.
  setFlagsFromString("--allow-natives-syntax");
  const detach = new Function("memory", "%ArrayBufferDetach(memory)");
  const text = (): Buffer => again("a short text") as Buffer;
  detach(encode("any").buffer);
  expect(text().toString()).toBe("a short text");
  detach(text().buffer);
  expect(text().toString()).toBe("a short text");
});

test("a getter may encode while its object is encoded", () => {
  const object = {
    get inner() {
      return encode(["inner", 1000]);
    },
    outer: "outer",
  };
  expect(decode(encode(object), { maps: "object" })).toEqual({
    inner: encode(["inner", 1000]),
    outer: Buffer.from("outer"),
  });
});

test("what encode returns is not touched by the next call", () => {
  for (const size of [1, 100, 10_000, 2_000_000]) {
    const first = encode("a".repeat(size));
    encode("b".repeat(size));
    expect(first.equals(encode("a".repeat(size)))).toBe(true);
  }
});

test("terms are shown as Erlang writes them", () => {
  const term = tuple(
    atom("ok"),
    atom("two words"),
    atom("it's"),
    new Float(1),
    new Float(-0),
    new Float(1e22),
    new ImproperList([1], atom("t")),
    new BitString(Buffer.from([1, 0xa0]), 3),
  );
  expect(inspect(term)).toBe("{ok, 'two words', 'it\\'s', 1.0, -0.0, 1e+22, [1 | t], <<1,5:3>>}");
  expect(inspect([[[tuple(tuple(1))]]], { depth: 3 })).toBe("[ [ [ {{...}} ] ] ]");
  expect(JSON.stringify({ a: atom("x"), b: tuple(1, new Float(2)) })).toBe('{"a":"x","b":[1,2]}');
});

test("tuples destructure and iterate", () => {
  const reply = tuple("ok", 1);
  const [tag, value] = reply.elements;
  expectTypeOf(tag).toEqualTypeOf<"ok">();
  expectTypeOf(value).toEqualTypeOf<1>();
  expect([tag, value, ...reply, reply.length]).toEqual(["ok", 1, "ok", 1, 2]);
});

test("a bitstring clears the bits that do not count, in a copy", () => {
  const bytes = Buffer.from([0xff]);
  expect(new BitString(bytes, 3).bytes).toEqual(Buffer.from([0xe0]));
  expect(bytes[0]).toBe(0xff);
  expect(new BitString(bytes, 3).bitLength).toBe(3);
  expect(() => new BitString(Buffer.alloc(0), 3)).toThrow(TypeError);
  expect(() => new BitString(bytes, 8)).toThrow(TypeError);
});

test("an improper list has elements, and a tail that is no list", () => {
  expect(() => new ImproperList([], 1)).toThrow(TypeError);
  expect(() => new ImproperList([1], [2])).toThrow(TypeError);
  expect(() => new ImproperList([1], new ImproperList([2], 3))).toThrow(TypeError);
});

test("types follow the options", () => {
  const term = decode(encode(1));
  expectTypeOf(term).toEqualTypeOf<Decoded>();
  expectTypeOf<Atom>().toExtend<Decoded>();
  expectTypeOf<Buffer>().toExtend<Decoded>();
  expectTypeOf<Map<Decoded, Decoded>>().toExtend<Decoded>();
  expectTypeOf<string>().not.toExtend<Decoded>();
  expectTypeOf<Decoded>().toExtend<Term>();
  const shown = decode(encode(1), { atoms: "string", binaries: "string", maps: "object", floats: "number" });
  expectTypeOf<string>().toExtend<typeof shown>();
  expectTypeOf<Atom>().not.toExtend<typeof shown>();
  expectTypeOf<Float>().not.toExtend<typeof shown>();
  expectTypeOf<Pid>().toExtend<typeof shown>();
  const mapped = decode(encode(1), { atoms: (name: string) => Symbol(name) });
  expectTypeOf<symbol>().toExtend<typeof mapped>();
});

test("what no term stands for is told with the way to it", () => {
  const nan = Number.NaN;
  const ways: [string, unknown][] = [
    ["$", () => 1],
    ["$.a.at[0]", { a: { at: [Symbol("s")] } }],
    ['$["a b"][2].c', { "a b": [1, 2, { b: 1, c: nan }] }],
    ["$.key[0]", new Map([["key", [new Date()]]])],
    ["$[7].x", new Map([[7, { x: new Set() }]])],
    ["$[1][0]", tuple(1, tuple(nan))],
    ["$[0].f", new ImproperList([{ f: nan }], 1)],
    ["$[1]", new ImproperList([1], nan)],
    ["$[0]", [new Map<unknown, number>().set(1, 1).set(1n, 2)]],
    ["$.name", { name: "\ud800" }],
    ["$.d.e", runInNewContext("({ d: { e: new Map([[new Set(), 1]]) } })")],
  ];
  for (const [path, value] of ways) {
    const error = thrownBy(() => encode(value as Term));
    expect(error).toMatchObject({ code: "ETF_UNENCODABLE", path: expect.stringContaining(path) });
    expect(error.message).toMatch(/^no term stands for .+, at \$/);
  }
  for (const [options, path] of [
    [{ keys: "atom" }, "$.k[0]"],
    [{ strings: "list" }, "$.k[0]"],
  ] as const)
    expect(thrownBy(() => encode({ k: [nan] }, options))).toMatchObject({ path });
  let deep: Term = nan;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  const { message } = thrownBy(() => encode(deep));
  expect(message).toMatch(/, at \$…(\[0\])+$/);
  expect(message.length).toBeLessThan(300);
});

test("values of another context of V8 are encoded by what they are", () => {
  const other = (code: string): Term => runInNewContext(code) as Term;
  const same: [string, Term][] = [
    ["({ a: [1, { b: null }] })", { a: [1, { b: null }] }],
    [
      "new Map([[{ a: 1 }, new Map()], ['k', [2n ** 70n]]])",
      new Map<Term, Term>([
        [{ a: 1 }, new Map()],
        ["k", [2n ** 70n]],
      ]),
    ],
    ["[new Uint8Array([1, 2]), Object.create(null)]", [Buffer.from([1, 2]), {}]],
  ];
  for (const [code, value] of same) {
    expect(encode(other(code))).toEqual(encode(value));
    expect(encode({ in: tuple(other(code)) })).toEqual(encode({ in: tuple(value) }));
  }
  expect(decode(runInNewContext("Uint8Array.from(bytes)", { bytes: encode("text") }))).toEqual(
    Buffer.from("text"),
  );
  for (const code of ["new Date()", "new Set()", "new (class A {})()", "/x/", "(() => 1)"])
    expect(thrownBy(() => encode(other(code))).code).toBe("ETF_UNENCODABLE");
});
