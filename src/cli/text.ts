// Text that others wrote, made safe for a terminal.

/**
 * Characters that a terminal may obey or that hide others: controls, marks that change the direction or join words,
 * line separators, and halves of surrogate pairs.
 */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g;

const hex = (text: string): string => (text.codePointAt(0) as number).toString(16).toUpperCase();

/** The text with Erlang's escapes in place of unsafe characters. */
export const safe = (text: string): string => text.replace(UNSAFE, (each) => `\\x{${hex(each)}}`);

/** JSON in one line, which a terminal can show. */
export function json(value: unknown): string {
  const text = JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each)) ?? "null";
  return text.replace(UNSAFE, (each) =>
    [...Array(each.length).keys()]
      .map((at) => `\\u${each.charCodeAt(at).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

const SUFFIXES = ["", "K", "M", "G", "T", "P"];

/** A number of bytes for people: 1536 → "1.5K". */
export function bytes(number: number): string {
  let power = 0;
  let rest = number;
  while (rest >= 1024 && power < SUFFIXES.length - 1) {
    rest /= 1024;
    power++;
  }
  return `${rest < 10 && power > 0 ? rest.toFixed(1) : Math.round(rest)}${SUFFIXES[power]}`;
}

/** A number for a narrow column: 1234567 → "1.23M". */
export function short(number: number): string {
  if (number < 100_000)
    return number >= 100 || Number.isInteger(number) ? String(Math.round(number)) : number.toFixed(1);
  const power = Math.min(Math.floor(Math.log10(number) / 3), SUFFIXES.length - 1);
  return `${(number / 1000 ** power).toPrecision(3)}${"_KMGTP"[power]}`;
}

/** A time span for people: 75 → "1m15s". */
export function span(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${Math.floor(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${Math.floor((seconds % 86_400) / 3600)}h`;
}

export const plural = (number: number, one: string, many = `${one}s`): string =>
  `${number} ${number === 1 ? one : many}`;

/** Cuts a text to so many columns. */
export function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const each of text) {
    used += columns(each);
    if (used > width - 1) break;
    kept += each;
  }
  return width > 0 ? `${kept}…` : "";
}

/** The columns of a text in a terminal: letters of East Asia and most pictures take two. */
export function columns(text: string): number {
  let sum = 0;
  for (const each of text) {
    const code = each.codePointAt(0) as number;
    if (/\p{Mn}|\p{Me}/u.test(each)) continue;
    const wide =
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0x1f300 && code <= 0x1faff) ||
      (code >= 0x20000 && code <= 0x3fffd);
    sum += wide ? 2 : 1;
  }
  return sum;
}

/** Rows under a head, in columns as wide as they need. Names ending in ">" are right-aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const names = head.map((name) => name.replace(/>$/, ""));
  const widths = names.map((name, at) => Math.max(name.length, ...rows.map((row) => columns(row[at] ?? ""))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => {
        const gap = " ".repeat((widths[at] as number) - columns(cell));
        return head[at]?.endsWith(">") ? gap + cell : cell + gap;
      })
      .join("  ")
      .trimEnd();
  return [names, ...rows].map(line).join("\n");
}
