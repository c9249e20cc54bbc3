// Feature flags in a cell: an object with the percentage of users for each flag. A service looks a flag up in memory with each
// request. A change takes effect at once, in all services of the machine, and sends no message. admin.mts sets flags; flags.escript
// reads them in Erlang.
import { crc32 } from "node:zlib";
import { type Cell, openCell } from "emmap";

type Percentages = Readonly<Record<string, number>>;

/** Reads flags. The file is open for reading only, so that a service cannot change a flag by mistake. */
export class Flags {
  readonly #cell: Cell<Percentages, Percentages>;

  constructor(path: string) {
    this.#cell = openCell<Percentages>(path, { read: true, values: "json" });
  }

  /** Whether the flag is on for the user. A flag that was never set is off. */
  isOn(name: string, user: string): boolean {
    // The hash has the flag's name too, so that other users are first for each flag.
    return crc32(`${name}:${user}`) % 100 < (this.#cell.get()?.[name] ?? 0);
  }

  /** The name and percentage of each flag. */
  [Symbol.iterator](): Iterator<[name: string, percentage: number]> {
    return Object.entries(this.#cell.get() ?? {})[Symbol.iterator]();
  }

  close(): void {
    this.#cell.close();
  }
}

/** Sets a flag, and adds it if it is new. `exclusive` keeps other writers out between the get and the publish. */
export function setFlag(path: string, name: string, percentage: number): void {
  if (!Number.isInteger(percentage) || percentage < 0 || percentage > 100)
    throw new RangeError("a percentage is a whole number from 0 to 100");
  const cell = openCell<Percentages>(path, {
    maxBytes: 65_536,
    values: "json",
    exclusive: true,
    write: true,
    create: true,
  });
  try {
    cell.publish({ ...cell.get(), [name]: percentage });
  } finally {
    cell.close();
  }
}
