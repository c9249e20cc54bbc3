// Feature flags in a mapped file: a service looks one up in memory with each request, and a change is there at once, in all
// services of the machine, without a message. admin.mts sets them, flags.escript reads them in Erlang.
//
// The file has 64 entries of 64 bytes: a 64-bit word, 0 in a free entry and 1 + the percentage in others, and the flag's
// name, up to 56 bytes and zeros.
import { crc32 } from "node:zlib";
import { type MappedFile, open } from "emmap";

const ENTRIES = 64;
const ENTRY = 64;
const NAME = 8;
/** Stays free: what is asked for and is not there is found here, and is off. */
const LAST = (ENTRIES - 1) * ENTRY;

const nameAt = (file: MappedFile, position: number): string =>
  String(file.pread(position + NAME, ENTRY - NAME)).replace(/\0+$/, "");

/** The flags, for looking at. Opened for reading, so that a service can't change them by mistake. */
export class Flags {
  readonly #file: MappedFile;
  readonly #positions = new Map<string, number>();

  constructor(path: string) {
    this.#file = open(path, { read: true });
  }

  /** Whether the flag is on for the user; a flag that nobody has set is off. */
  isOn(name: string, user: string): boolean {
    const word = this.#file.load(this.#find(name));
    // By name and user, so that it is not always the same users who get new things first.
    return crc32(`${name}:${user}`) % 100 < Number(word) - 1;
  }

  /** The name, percentage and position of each flag. */
  *[Symbol.iterator](): Generator<[name: string, percentage: number, position: number]> {
    for (let position = 0; position < ENTRIES * ENTRY; position += ENTRY) {
      const word = this.#file.load(position);
      if (word > 0n) yield [nameAt(this.#file, position), Number(word) - 1, position];
    }
  }

  /** Where the flag is. An entry never moves; one that is not found yet is looked for again. */
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

/** Sets a flag, and adds it if it is new. One at a time: `exclusive` keeps other writers out. */
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
