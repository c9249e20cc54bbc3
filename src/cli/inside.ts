// What is inside of a file: for verbs that open one. A new kind adds itself to the list.
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { openBlockStorage } from "../blocks.js";
import { openCell } from "../cell.js";
import { openCounters } from "../counters.js";
import type { InHand } from "../delivery.js";
import { open } from "../file.js";
import { forgetDamaged, readMetrics } from "../metrics.js";
import type { OpenFile } from "../open-file.js";
import { openQueue } from "../queue.js";
import { openTable } from "../table.js";
import { line } from "./terms.js";
import { plural } from "./text.js";
import { keyOf } from "./words.js";

/** How the files of a kind are opened and read. */
interface Inside {
  /** Opens the file for reading, without a lock. Throws EMMAP_CORRUPT if its header is damaged. */
  reader(path: string): OpenFile;
  /** Reads all that the format describes. Throws EMMAP_CORRUPT if the file is damaged. */
  check?(path: string): void;
  /** Repairs the file, and says what it did. Missing: there is no repair. */
  repair?(path: string): string;
  /** The first things in the file, one text each. Takes no lock. */
  peek(path: string, limit: number, form: "erlang" | "json"): string[];
}

const READ = { read: true } as const;
/** Bytes: docs/formats.md. */
const QUEUE_HEADER = 16;

const counters: Inside = {
  reader: (path) => openCounters(path, 0, READ),
  peek(path, limit) {
    using file = openCounters(path, 0, READ);
    return Array.from({ length: Math.min(file.length, limit) }, (_, index) => `${index}: ${file.get(index)}`);
  },
};

/** Writes the header of an empty queue. No handle can be opened before; a handle that is open answers with errors anyway. */
function makeEmpty(path: string): void {
  const fd = openSync(path, "r+");
  const header = Buffer.alloc(QUEUE_HEADER);
  header.writeUInt32BE(Math.min(fstatSync(fd).size, 2 ** 32 - 1), 0);
  for (const place of [4, 8, 12]) header.writeUInt32BE(QUEUE_HEADER, place);
  try {
    writeSync(fd, header, 0, QUEUE_HEADER, 0);
  } finally {
    closeSync(fd);
  }
}

const queue: Inside = {
  reader: (path) => openQueue(path, { ...READ, raw: true }),
  check(path) {
    using file = openQueue(path, { ...READ, raw: true });
    file.length();
  },
  repair(path) {
    try {
      openQueue(path, { write: true, raw: true }).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EMMAP_CORRUPT") throw error;
      makeEmpty(path);
    }
    using file = openQueue(path, { write: true, raw: true });
    file.erase();
    return "it is empty now, since a damaged queue cannot tell its messages; the backup has their bytes";
  },
  peek(path, limit, form) {
    using file = openQueue(path, { ...READ, raw: true });
    const shown: string[] = [];
    for (const message of file) {
      if (shown.length >= limit) break;
      shown.push(line(message, form));
    }
    return shown;
  },
};

const blocks: Inside = {
  reader: (path) => openBlockStorage(path, { ...READ, blockSize: 0 }),
  repair(path) {
    using file = openBlockStorage(path, { write: true, blockSize: 0 });
    file.repair();
    return "its masks follow from its blocks again; no block is lost";
  },
  peek(path, limit) {
    using file = openBlockStorage(path, { ...READ, blockSize: 0 });
    const shown: string[] = [];
    for (const [address, block] of file) {
      if (shown.length >= limit) break;
      shown.push(`${address}: ${block.toString("hex")}`);
    }
    return shown;
  },
};

const cell: Inside = {
  reader: (path) => openCell(path, { ...READ, raw: true }),
  check(path) {
    using file = openCell(path, { ...READ, raw: true });
    file.get();
  },
  repair(path) {
    openCell(path, { write: true, raw: true }).close();
    return "its value is the last one that is whole";
  },
  peek(path, _, form) {
    using file = openCell(path, { ...READ, raw: true });
    const value = file.get();
    return value === undefined ? [] : [line(value, form)];
  },
};

const table: Inside = {
  reader: (path) => openTable(path, READ),
  repair(path) {
    using file = openTable(path, { write: true });
    file.repair();
    return "its chains and counts follow from its entries again; entries without a sound key are gone";
  },
  peek(path, limit) {
    using file = openTable(path, READ);
    const shown: string[] = [];
    for (const [key, words] of file) {
      if (shown.length >= limit) break;
      shown.push(`${keyOf(key)}: ${words.join(" ")}`);
    }
    return shown;
  },
};

const metrics: Inside = {
  ...table,
  check: (path) => readMetrics(path).close(),
  repair(path) {
    using file = openTable(path, { write: true });
    file.repair();
    const deleted = plural(forgetDamaged(file), "damaged description");
    return `its chains and counts follow from its entries again; ${deleted} of metrics deleted: programs describe them anew`;
  },
  peek(path, limit) {
    using file = readMetrics(path);
    const shown: string[] = [];
    for (const { name, labels, value } of file.samples()) {
      if (shown.length >= limit) break;
      const pairs = Object.entries(labels).map(([label, each]) => `${label}=${JSON.stringify(each)}`);
      shown.push(`${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`}: ${value}`);
    }
    return shown;
  },
};

const plain: Inside = { reader: (path) => open(path, READ), peek: () => [] };

/** The messages of a queue that consumers have in hand, and those that were released. Takes no lock. */
export function inHandOf(path: string): InHand[] {
  using file = openQueue(path, { ...READ, raw: true });
  return file.inHand();
}

/** Repairs the file of messages in hand. `saved`: what is in it now. */
export function repairInHand(path: string): { saved: number; lost: number } {
  using file = openQueue(path, { write: true, raw: true });
  const lost = file.repair();
  return { saved: file.inHand().length, lost };
}

/** As {@link inHandOf}. The queue goes on without a damaged file of them: then there are none. */
export function inHandIfSound(path: string): InHand[] {
  try {
    return inHandOf(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EMMAP_CORRUPT") throw error;
    return [];
  }
}

const all: Record<string, Inside> = { plain, counters, queue, blocks, cell, table, metrics };

export const insideOf = (kind: string): Inside => all[kind] ?? plain;
