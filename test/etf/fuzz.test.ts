import { expect, test } from "vitest";
import { partDecoder } from "../../src/etf/decode.js";
import { type DecodeOptions, decodeSettings } from "../../src/etf/decode-options.js";
import { decode, decodePrefix, EtfError, encode, type Term } from "../../src/etf/index.js";
import { Budget } from "../../src/etf/measure";
import { mapParts } from "../../src/packed.js";
import { Random, randomTerm } from "./random.js";

const { ETF_SEED = "1", ETF_FUZZ = "50000" } = process.env;
const seed = Number(ETF_SEED);
const count = Number(ETF_FUZZ);

/** Tags of terms with content, which random bytes hit too seldom. */
const TAGS = [
  70, 77, 80, 88, 89, 90, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113,
];
const MORE_TAGS = [114, 115, 116, 118, 119, 120, 121];

function mutated(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(copy.length);
    const kind = random.below(4);
    if (kind === 0) copy[at] = random.below(256);
    else if (kind === 1) copy[at] = (copy[at] as number) ^ (1 << random.below(8));
    else if (kind === 2) copy[at] = random.pick([...TAGS, ...MORE_TAGS]);
    else copy.subarray(at, at + 4).fill(255);
  }
  return random.below(4) === 0 ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

function input(random: Random): Buffer {
  if (random.below(3) === 0) {
    const bytes = random.bytes(1 + random.below(60));
    bytes[0] = 131;
    for (let at = 1; at < bytes.length; at += 1 + random.below(4))
      bytes[at] = random.pick([...TAGS, ...MORE_TAGS]);
    return bytes;
  }
  return mutated(random, encode(randomTerm(random, random.below(4)), { compressed: random.below(10) === 0 }));
}

test(`${count} random and mutated inputs decode, or are refused with a typed error`, {
  timeout: 3_600_000,
}, () => {
  let refused = 0;
  for (let index = 0; index < count; index++) {
    // Each input has a seed of its own, so that a single input can be repeated.
    const random = new Random(seed + index);
    const bytes = input(random);
    const before = process.hrtime.bigint();
    let term: unknown;
    try {
      term = decodePrefix(bytes, { binaries: random.pick(["buffer", "view", "string"]) }).term;
    } catch (error) {
      if (!(error instanceof EtfError))
        throw new Error(`ETF_SEED=${seed + index} ETF_FUZZ=1`, { cause: error });
      refused++;
    }
    const took = Number(process.hrtime.bigint() - before) / 1e6;
    expect(took, `milliseconds for ${bytes.length} bytes, ETF_SEED=${seed + index} ETF_FUZZ=1`).toBeLessThan(
      1000,
    );
    if (term === undefined) continue;
    // A decoded term can be encoded, and is then the same term.
    const again = encode(term as Term);
    expect(encode(decode(again) as Term).equals(again), `ETF_SEED=${seed + index} ETF_FUZZ=1`).toBe(true);
  }
  expect(refused).toBeGreaterThan(count / 10);
  expect(refused).toBeLessThan(count);
});

/** The result or error of a decoder, in a form that can be compared. */
function outcome(decoded: () => unknown): unknown {
  try {
    return encode(decoded() as Term).toString("hex");
  } catch (error) {
    const { code, message, offset } = error as EtfError;
    return { code, message, offset };
  }
}

const decodeParts = (parts: Buffer, options: DecodeOptions) =>
  mapParts(parts, partDecoder(parts, decodeSettings(options), new Budget(Number.POSITIVE_INFINITY)));

test(`parts of one input decode, or are refused, as they are on their own`, () => {
  for (let index = 0; index < count / 50; index++) {
    const random = new Random(seed + index);
    const inputs = Array.from({ length: 1 + random.below(12) }, () => {
      const bytes = random.below(2) === 0 ? input(random) : encode(randomTerm(random, random.below(5)));
      return Buffer.concat([bytes, Buffer.alloc(random.below(8))]);
    });
    const packed = (parts: Buffer[]) =>
      Buffer.concat(
        parts.flatMap((part) => {
          const length = Buffer.alloc(4);
          length.writeUInt32LE(part.length);
          return [length, part];
        }),
      );
    const note = `ETF_SEED=${seed + index}`;
    const options = { binaries: random.pick(["buffer", "string"] as const) };
    const alone = inputs.map((bytes) => outcome(() => decodePrefix(bytes, options).term));
    const good = inputs.filter((_, at) => typeof alone[at] === "string");
    expect(
      decodeParts(packed(good), options).map((term) => outcome(() => term)),
      note,
    ).toEqual(alone.filter((result) => typeof result === "string"));
    const bad = alone.findIndex((result) => typeof result !== "string");
    if (bad >= 0)
      expect(
        outcome(() => decodeParts(packed(inputs), options)),
        note,
      ).toEqual(alone[bad]);
  }
});

test("the memory that hostile input takes is a multiple of its size", () => {
  const size = 200_000;
  const fill = (head: string) => {
    const bytes = Buffer.alloc(size, Buffer.from(head, "hex"));
    bytes[0] = 131;
    return bytes;
  };
  const tagged = [...TAGS, ...MORE_TAGS].flatMap((tag) =>
    ["", "01", "0000ff", "00000001", "0000ffff", "0001ffff", "00ffffff", "ffffffff"].map((claim) =>
      fill(`6a${tag.toString(16)}${claim}`),
    ),
  );
  const memory = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  for (const bytes of tagged) {
    const shifted = Buffer.concat([bytes.subarray(0, 1), bytes.subarray(2)]);
    const before = memory();
    try {
      decode(shifted);
    } catch (error) {
      expect(error).toBeInstanceOf(EtfError);
    }
    expect(memory() - before, shifted.subarray(0, 8).toString("hex")).toBeLessThan(200 * size);
  }
});
