// What the command knows of a kind of file. A new kind adds a module to this folder, a line to index.ts, and its way to
// open a file to ../inside.ts.
import type { Inspection } from "../inspect.js";

export interface Kind {
  /** As `emmap_inspect` names it. */
  readonly name: string;
  /** The number of things in the file, for a narrow column. */
  amount(found: Inspection): number | undefined;
  /** What is in the file, in words: "3 messages". */
  contents(found: Inspection): string;
  /** Lines of `info`: a label and a text each. */
  facts(found: Inspection): [label: string, text: string][];
}
