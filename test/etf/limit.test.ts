// The decoder counts the memory of a term before it makes the term. Erlang counts the same (test/vectors/term-sizes.json).
import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decode, decodePrefix, type EtfError, encode } from "../../src/etf";
import { MAX_INFLATED_SIZE } from "../../src/etf/measure";
import sizes from "../vectors/term-sizes.json";

const failure = (action: () => unknown): EtfError => {
  try {
    action();
  } catch (error) {
    return error as EtfError;
  }
  throw new Error("nothing was thrown");
};

/** A list of this many [], compressed without making the list. */
function compressedList(count: number): Buffer {
  const body = Buffer.alloc(count + 6, 106);
  body[0] = 108;
  body.writeUInt32BE(count, 1);
  const header = Buffer.from([131, 80, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, deflateSync(body)]);
}

describe.each(sizes)("$name", ({ bytes, size }) => {
  const message = Buffer.from(bytes, "hex");
  const limit = size - message.length;

  test("is decoded where its size is allowed", () => {
    decode(message, { maxInflatedSize: Math.max(limit, 0) });
    // The bytes behind the term belong to the message too.
    const padded = Buffer.concat([message, Buffer.alloc(5)]);
    decodePrefix(padded, { maxInflatedSize: Math.max(limit - 5, 0) });
  });

  test.runIf(limit > 0)("is refused where a byte less is", () => {
    expect(failure(() => decode(message, { maxInflatedSize: limit - 1 })).code).toBe("ETF_LIMIT");
  });

  test("is counted the same when it was compressed", () => {
    const body = message.subarray(1);
    const header = Buffer.from([131, 80, 0, 0, 0, 0]);
    header.writeUInt32BE(body.length, 2);
    const compressed = Buffer.concat([header, deflateSync(body)]);
    const enough = Math.max(size - compressed.length, body.length);
    decode(compressed, { maxInflatedSize: enough });
    expect(failure(() => decode(compressed, { maxInflatedSize: enough - 1 })).code).toBe("ETF_LIMIT");
  });

  test("is cut anywhere without harm", () => {
    for (let end = 0; end < message.length; end++)
      expect(["ETF_TRUNCATED", "ETF_LIMIT"]).toContain(
        failure(() => decode(message.subarray(0, end), { maxInflatedSize: 1 })).code,
      );
  });
});

// The table has no such term, because no other runtime can read it.
test("a local term counts 16 bytes for each of its own", () => {
  const message = Buffer.concat([Buffer.from([131, 121]), Buffer.alloc(100)]);
  const limit = 1600 - message.length;
  decode(message, { maxInflatedSize: limit });
  expect(failure(() => decode(message, { maxInflatedSize: limit - 1 })).code).toBe("ETF_LIMIT");
});

test("the limit is 64 MiB unless given", () => {
  expect(MAX_INFLATED_SIZE).toBe(64 * 1024 * 1024);
  const count = MAX_INFLATED_SIZE / 16;
  // A term may take as many more bytes as its message has.
  expect(failure(() => decode(compressedList(count + 4096))).code).toBe("ETF_LIMIT");
  expect(decode(compressedList(count - 2))).toHaveLength(count - 2);
  const plain = Buffer.alloc(5_000_000, 106);
  plain.set([131, 108, 0, 0x4c, 0x4b, 0x39]); // 4,999,993
  expect(failure(() => decode(plain)).code).toBe("ETF_LIMIT");
});

test("a binary takes what it has, however much that is", () => {
  const large = encode(Buffer.alloc(70 * 1024 * 1024, 1));
  expect(decode(large)).toHaveLength(70 * 1024 * 1024);
});

test("a compressed term within another one is none, and within a binary it is bytes", () => {
  const inside = compressedList(100_000);
  const nested = Buffer.concat([Buffer.from([131, 104, 1]), inside.subarray(1)]);
  expect(failure(() => decode(nested)).code).toBe("ETF_TAG");
  expect(decode(encode([inside]))).toEqual([inside]);
});
