// Feature flags in a mapped file. A service looks a flag up in memory with each request. A change takes effect at once, in all
// services of the machine, and sends no message. admin.mts sets flags; flags.escript reads them in Erlang.
//
// The file has 64 entries of 64 bytes. An entry is a 64-bit word and the flag's name, up to 56 bytes and zeros. The word is 0 in a
// free entry, and 1 + the percentage in others.
import { crc32 } from "node:zlib";
import { type MappedFile, open } from "emmap";

const ENTRIES = 64;
const ENTRY = 64;
const NAME = 8;
/** This entry stays free. A flag that is missing is looked up here, and so is off. */
const LAST = (ENTRIES - 1) * ENTRY;

const nameAt = (file: MappedFile, position: number): string =>
  String(file.pread(position + NAME, ENTRY - NAME)).replace(/\0+$/, "");

/** Reads flags. The file is open for reading only, so that a service cannot change a flag by mistake. */
export class Flags {
  readonly #file: MappedFile;
  readonly #positions = new Map<string, number>();

  constructor(path: string) {
    this.#file = open(path, { read: true });
  }

  /** Whether the flag is on for the user. A flag that was never set is off. */
  isOn(name: string, user: string): boolean {
    const word = this.#file.load(this.#find(name));
    // The hash has the flag's name too, so that other users are first for each flag.
    return crc32(`${name}:${user}`) % 100 < Number(word) - 1;
  }

  /** The name, percentage and position of each flag. */
  *[Symbol.iterator](): Generator<[name: string, percentage: number, position: number]> {
    for (let position = 0; position < ENTRIES * ENTRY; position += ENTRY) {
      const word = this.#file.load(position);
      if (word > 0n) yield [nameAt(this.#file, position), Number(word) - 1, position];
    }
  }

  /** The flag's position. An entry never moves; a missing flag is looked for again the next time. */
  #find(name: string): number {
    const known = this.#positions.get(name);
    if (known !== undefined) return known;
    for (const [found, , position] of this) this.#positions.set(found, position);
    return this.#positions.get(name) ?? LAST;
  }

  close(): void {
    this.#file.close();
  }
}

/** Sets a flag, and adds it if it is new. `exclusive` keeps other writers out. */
export function setFlag(path: string, name: string, percentage: number): void {
  if (!Number.isInteger(percentage) || percentage < 0 || percentage > 100)
    throw new RangeError("a percentage is a whole number from 0 to 100");
  const bytes = Buffer.from(name);
  if (bytes.length === 0 || bytes.length > ENTRY - NAME) throw new RangeError("a name has 1 to 56 bytes");
  const file = open(path, { write: true, create: true, size: ENTRIES * ENTRY, exclusive: true });
  try {
    let position = 0;
    while (file.load(position) !== 0n && nameAt(file, position) !== name) position += ENTRY;
    if (position === LAST) throw new Error(`there are ${ENTRIES - 1} flags already`);
    // The word goes last, so that a reader that sees the entry sees its name.
    file.pwrite(position + NAME, bytes);
    file.store(position, 1 + percentage);
  } finally {
    file.close();
  }
}
