// The bytes that each supported release of OTP writes: 25 to 29. They are from the documentation of the releases that are not
// installed here; test/etf/beam.test.ts tests the installed one.
import { describe, expect, test } from "vitest";
import { atom, decode, type EtfError, encode, NativeRecord, tuple } from "../../src/etf";

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");
const failure = (action: () => unknown): EtfError => {
  try {
    action();
  } catch (error) {
    return error as EtfError;
  }
  throw new Error("nothing was thrown");
};

const NODE_UTF8 = "77 03 6e4068";
const NODE_LATIN1 = "64 0003 6e4068";

/** By the first release that writes it: the bytes, and whether the codec writes the same bytes again. */
const written: [string, string, string][] = [
  ["25", "an atom in Latin-1", "83 64 0002 6f6b"],
  ["25", "a process", `83 58 ${NODE_LATIN1} 00000050 00000000 00000000`],
  ["25", "a port", `83 59 ${NODE_LATIN1} 00000003 00000000`],
  ["25", "a port of 64 bits", `83 78 ${NODE_LATIN1} 0000000100000003 00000000`],
  ["25", "a reference", `83 5a 0003 ${NODE_LATIN1} 00000000 00000001 00000002 00000003`],
  ["26", "an atom in UTF-8", "83 77 02 6f6b"],
  ["26", "a process", `83 58 ${NODE_UTF8} 00000050 00000000 00000000`],
  [
    "26",
    "a reference of five words",
    `83 5a 0005 ${NODE_UTF8} 00000000 00000001 00000002 00000003 00000004 00000005`,
  ],
  ["26", "a local term", "83 79 01020304 68 01 61 01"],
  ["27", "minus zero beside zero", "83 74 00000002 46 0000000000000000 6101 46 8000000000000000 6102"],
  ["28", "an external fun", "83 71 77 05 6c69737473 77 03 6d6170 6102"],
  ["29", "a native record", "83 43 00000002 01 77 01 6d 77 01 72 77 01 61 77 01 62 61 07 6c 00000001 6a 6a"],
  ["29", "a native record without fields", "83 43 00000000 00 77 01 6d 77 01 72"],
];

describe.each(written)("OTP %s, %s", (_release, what, hex) => {
  test("goes back as the same bytes", () => {
    const latin1 = what.includes("Latin-1");
    expect(encode(decode(bytes(hex)), { minorVersion: latin1 ? 1 : 2 })).toEqual(bytes(hex));
  });

  test("can be inside of others", () => {
    const inside = bytes(hex).subarray(1);
    const list = Buffer.concat([bytes("83 6c 00000002"), inside, inside, bytes("6a")]);
    if (inside[0] === 121) expect(failure(() => decode(list)).code).toBe("ETF_TAG");
    else expect(decode(list)).toHaveLength(2);
  });
});

describe("a native record", () => {
  const record = bytes("83 43 00000002 01 77 01 6d 77 03 612062 77 01 61 77 01 62 61 07 6c 00000001 6a 6a");

  test("says whose it is", () => {
    const term = decode(record);
    expect(term).toBeInstanceOf(NativeRecord);
    expect(term).toMatchObject({ module: atom("m"), name: atom("a b"), size: 2 });
    expect(String(term)).toBe("#m:'a b'{...}");
    expect((term as NativeRecord).bytes).toEqual(record.subarray(1));
  });

  test("is kept as a part of other terms, and of itself, however deep", () => {
    const inner = record.subarray(1);
    const one = bytes("43 00000001 00 77 01 6d 77 01 72 77 01 61");
    const nested = Buffer.concat([bytes("83 68 02 6101"), ...Array<Buffer>(50_000).fill(one), inner]);
    const term = decode(nested);
    expect(term).toMatchObject({ elements: [1, { module: atom("m") }] });
    expect(encode(term)).toEqual(nested);
    expect(encode(tuple(decode(record)))).toEqual(Buffer.concat([bytes("83 68 01"), inner]));
  });

  test("is refused where it is cut, or its names are none", () => {
    for (let end = 2; end < record.length; end++)
      expect(failure(() => decode(record.subarray(0, end))).code, `${end} bytes`).toBe("ETF_TRUNCATED");
    expect(failure(() => decode(bytes("83 43 ffffffff 00 77 01 6d 77 01 72 6a"))).code).toBe("ETF_TRUNCATED");
    expect(failure(() => decode(bytes("83 43 00000000 00 61 01 77 01 72"))).code).toBe("ETF_MALFORMED");
    expect(failure(() => decode(bytes("83 43 00000000 00 77 01 6d 6a 6a"))).code).toBe("ETF_MALFORMED");
  });
});

test("a tag that no release writes is named", () => {
  for (const tag of [66, 68, 69, 71, 76, 79, 82, 117, 122, 255]) {
    const error = failure(() => decode(Buffer.from([131, tag, 0, 0, 0, 0, 0])));
    expect(error).toMatchObject({ code: "ETF_TAG", message: expect.stringContaining(String(tag)) });
  }
});
