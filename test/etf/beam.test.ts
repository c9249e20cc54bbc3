import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decode, decodePrefix, EtfError, encode, ImproperList, Opaque, Tuple } from "../../src/etf/index.js";
import { Peer } from "./beam/peer.js";
import { Random, randomTerm } from "./random.js";

const { ETF_SEED = "20260", ETF_TERMS = "10000" } = process.env;
const seed = Number(ETF_SEED);
const count = Number(ETF_TERMS);
const BATCH = 1_000;
const MIB = 1024 * 1024;

let peer: Peer;
beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.close());

test("what the BEAM encodes goes through Node and is =:= to what it was", { timeout: 300_000 }, async () => {
  let largest = 0;
  const kinds = new Set<number>();
  for (let done = 0; done < count; done += BATCH) {
    const terms = await peer.generate(seed + done, BATCH, MIB);
    const encoded = terms.map(({ how, bytes }, index) => {
      const where = `seed ${seed + done}, term ${index}`;
      largest = Math.max(largest, bytes.length);
      kinds.add(how);
      const again = encode(decode(bytes), {
        minorVersion: how === 1 ? 1 : 2,
        compressed: how === 3 && index % 2 === 0,
      });
      if ((how === 1 || how === 2) && !again.equals(bytes)) throw new Error(`other bytes: ${where}`);
      return again;
    });
    expect(await peer.differing(encoded), `seed ${seed + done}`).toEqual([]);
  }
  expect(largest).toBeGreaterThan(MIB / 2);
  expect([...kinds].sort()).toEqual([0, 1, 2, 3]);
});

test("what Node encodes goes through the BEAM and is the same again", { timeout: 300_000 }, async () => {
  for (let done = 0; done < count; done += BATCH) {
    const random = new Random(seed + done);
    const encoded = Array.from({ length: BATCH }, () => {
      const options = { compressed: random.below(4) === 0, minorVersion: random.pick([1, 2] as const) };
      return encode(randomTerm(random, random.below(5)), options);
    });
    const echoed = await peer.echo(encoded);
    for (const [index, bytes] of encoded.entries()) {
      if (isDeepStrictEqual(decode(echoed[index] as Buffer), decode(bytes))) continue;
      throw new Error(
        `another term: seed ${seed + done}, term ${index}: ${bytes.toString("hex").slice(0, 400)}`,
      );
    }
  }
});

test("Node takes the bytes that the BEAM takes, and no others", { timeout: 300_000 }, async () => {
  for (let done = 0; done < count / 2; done += BATCH) {
    const random = new Random(seed + done);
    const inputs = (await peer.generate(seed + done, BATCH, 200)).map(({ bytes }) => {
      const changed = Buffer.from(bytes);
      for (let n = random.below(3); n >= 0; n--)
        changed[1 + random.below(changed.length - 1)] = random.below(256);
      return changed;
    });
    const accepted = await peer.accepts(inputs);
    for (const [index, bytes] of inputs.entries()) {
      const where = `seed ${seed + done}, input ${index}: ${bytes.toString("hex").slice(0, 400)}`;
      let refusal: unknown;
      let term: unknown;
      try {
        term = decodePrefix(bytes).term;
      } catch (error) {
        if (!(error instanceof EtfError)) throw new Error(where, { cause: error });
        refusal = error;
      }
      if (accepted[index]) {
        if (refusal && !onlyNodeMinds(refusal))
          throw new Error(`the BEAM alone takes ${where}`, { cause: refusal });
      } else if (!refusal && !onlyTheBeamMinds(term)) {
        throw new Error(`Node alone takes ${where}`);
      }
    }
  }
});

/** The BEAM does not read the size that a fun claims, and takes atoms in its own inner format: tags 73 and 75. */
function onlyNodeMinds(refusal: unknown): boolean {
  return refusal instanceof EtfError && /of a fun|a fun has|inside a fun|tag 7[35] /.test(refusal.message);
}

/** Does not judge the content of a fun, an identifier of the BEAM's own node, and a LOCAL_EXT. */
function onlyTheBeamMinds(term: unknown): boolean {
  if (term instanceof Opaque) return !("node" in term) || String(term.node) === "nonode@nohost";
  if (term instanceof Map) return [...term].flat().some(onlyTheBeamMinds) || !distinct([...term.keys()]);
  if (term instanceof ImproperList) return [...term.elements, term.tail].some(onlyTheBeamMinds);
  return (term instanceof Tuple || Array.isArray(term)) && [...term].some(onlyTheBeamMinds);
}

function distinct(keys: unknown[]): boolean {
  return keys.every((key, index) => keys.every((other, at) => at <= index || !isDeepStrictEqual(key, other)));
}
