import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./user";

const found = (page: string, pattern: RegExp): string[] =>
  [...readFileSync(join(root, page), "utf8").matchAll(pattern)].map(([, text]) => text as string);

/** All programs of a page in a language, unchanged and joined, since one may go on from another. */
export const snippets = (language: string, page = "README.md"): string[] =>
  found(page, new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"));

/** The languages of the README's programs. */
export const languages = (): string[] => [...new Set(found("README.md", /^```(\w+)\n/gm))].sort();
