import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./user";

const found = (page: string, pattern: RegExp): string[] =>
  [...readFileSync(join(root, page), "utf8").matchAll(pattern)].map(([, text]) => text as string);

/** What a page shows in a language, as it stands there: all of it, since one may go on from another. */
export const snippets = (language: string, page = "README.md"): string[] =>
  found(page, new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"));

/** The languages that the README shows something in. */
export const languages = (): string[] => [...new Set(found("README.md", /^```(\w+)\n/gm))].sort();
