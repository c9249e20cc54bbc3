import { blocks } from "./blocks.js";
import { cell } from "./cell.js";
import { counters } from "./counters.js";
import type { Kind } from "./kind.js";
import { plain } from "./plain.js";
import { queue } from "./queue.js";
import { metrics, table } from "./table.js";

export const kinds: readonly Kind[] = [plain, counters, queue, blocks, cell, table, metrics];

/** The kind of this name. One that this command does not know has the facts of every file. */
export const kindOf = (name: string): Kind => kinds.find((each) => each.name === name) ?? plain;
