import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./user";

/** What the README shows in a language, as it stands there: all of it, since one may go on from another. */
export function snippets(language: string): string[] {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const found = [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))];
  return found.map(([, code]) => code as string);
}

/** The languages that the README shows something in. */
export function languages(): string[] {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  return [...new Set([...readme.matchAll(/^```(\w+)\n/gm)].map(([, language]) => language as string))].sort();
}
