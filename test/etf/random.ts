import { atom, BitString, Float, ImproperList, type Term, Tuple } from "../../src/etf/index.js";

/** A generator of pseudo-random numbers (splitmix32). A failing test can print its seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An integer from 0 up to, but not, `bound`. */
  below(bound: number): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 0x100000000) * bound);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  text(length: number): string {
    const most = this.pick([0x7f, 0xff, 0xffff, 0x10ffff]);
    return Array.from({ length }, () => {
      const code = this.below(most + 1);
      return code >= 0xd800 && code <= 0xdfff ? "x" : String.fromCodePoint(code);
    }).join("");
  }
}

/** A random term of every kind that can be made in JavaScript. */
export function randomTerm(random: Random, depth: number): Term {
  const several = (most: number) =>
    Array.from({ length: random.below(most) }, () => randomTerm(random, depth - 1));
  switch (random.below(depth > 0 ? 20 : 13)) {
    case 0:
      return random.below(256);
    case 1:
      return random.below(2 ** 32) - 2 ** 31;
    case 2:
      return (random.below(2) === 0 ? 1 : -1) * (2 ** random.below(54) - 1);
    case 3:
      return (
        (1n << BigInt(random.below(2200))) * (random.below(2) === 0 ? 1n : -1n) + BigInt(random.below(3) - 1)
      );
    case 4:
      return random.bytes(8).readDoubleBE() || 0.5;
    case 5:
      return new Float(random.pick([0, -0, 1, -1, 1e15, 1e22, 0.25]));
    case 6:
      return random.text(random.below(60));
    case 7:
      return random.bytes(random.below(random.pick([5, 40, 400])));
    case 8:
      return atom(random.text(random.below(random.pick([4, 60, 128]))));
    case 9:
      return random.pick([true, false, null, undefined, atom("true"), atom("")]);
    case 10:
      return new BitString(random.bytes(1 + random.below(10)), 1 + random.below(7));
    case 11:
      return [...random.bytes(random.below(20))];
    case 12:
      return random.pick([[], new Tuple([]), new Map(), {}, Buffer.alloc(0)]);
    case 13:
    case 14:
      return several(8);
    case 15:
    case 16:
      return new Tuple(several(random.below(50) === 0 ? 300 : 6));
    case 17:
      return new ImproperList(
        [randomTerm(random, depth - 1), ...several(4)],
        random.pick([1, atom("tail"), 0.5, "s"]),
      );
    case 18:
      return new Map(
        several(6).map((value, index) => [random.pick([index, `k${index}`, new Tuple([index])]), value]),
      );
    default:
      return Object.fromEntries(several(6).map((value, index) => [`${random.text(3)}${index}`, value]));
  }
}
