// emmap top
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { print, seconds as toSeconds } from "../output.js";
import { type Sample, Sampler } from "../sample.js";
import { bytes, columns, cut, json, safe, short, span } from "../text.js";

interface Options {
  once?: boolean;
  json?: boolean;
  watch?: string | true;
  recursive?: boolean;
}

/** The time over which --once measures rates, in ms. */
const ONCE = 1000;

/** A column: its name, its width, and a sample's cell. The file's name and the trouble get what is left. */
type Column = [name: string, width: number, cell: (sample: Sample) => string];

const rate = (number: number): string => (number === 0 ? "0" : short(number));

const COLUMNS: Column[] = [
  ["KIND", 8, ({ kind }) => kind],
  [
    "DEPTH",
    7,
    ({ amount, used }) =>
      amount !== undefined ? short(amount) : used === undefined ? "-" : `${bytes(used)}B`,
  ],
  ["IN/S", 6, ({ pushed, kind }) => (kind === "queue" ? rate(pushed) : "")],
  ["OUT/S", 6, ({ popped, kind }) => (kind === "queue" ? rate(popped) : "")],
  ["HAND", 4, ({ inHand }) => (inHand === undefined ? "" : short(inHand))],
  ["OLDEST", 7, ({ oldest }) => (oldest === undefined ? "" : `>${span(oldest)}`)],
  [
    "OPEN",
    4,
    ({ open, inspection }) => (open === undefined ? (inspection.sharing ?? "?").slice(0, 4) : String(open)),
  ],
  ["WAIT", 4, ({ waiters }) => String(waiters ?? "")],
  ["LOCK/S", 6, ({ waited, open }) => (open === undefined || open === 0 ? "" : rate(waited))],
];
const LEFT = new Set(["KIND"]);

const pad = (text: string, width: number, left: boolean): string => {
  const kept = cut(text, width);
  const gap = " ".repeat(Math.max(0, width - columns(kept)));
  return left ? kept + gap : gap + kept;
};

/** What is in trouble comes first, then what moves, then what is deep. */
const order = (one: Sample, other: Sample): number =>
  Number(other.trouble !== undefined) - Number(one.trouble !== undefined) ||
  other.pushed + other.popped - (one.pushed + one.popped) ||
  (other.amount ?? 0) - (one.amount ?? 0);

/** The names of files, with their folders where two files have the same name. */
function namesOf(samples: readonly Sample[]): Map<Sample, string> {
  const counts = new Map<string, number>();
  for (const { path } of samples) counts.set(basename(path), (counts.get(basename(path)) ?? 0) + 1);
  return new Map(
    samples.map((each) => {
      const name = basename(each.path);
      const isAlone = counts.get(name) === 1;
      return [each, safe(isAlone ? name : join(basename(dirname(each.path)), name))];
    }),
  );
}

/** The table's lines. A trouble has a line of its own, so that it can be read at 80 columns. */
function lines(
  samples: readonly Sample[],
  width: number,
  style: (line: string, of: "head" | "trouble") => string,
): string[] {
  const fixed = COLUMNS.reduce((sum, [, each]) => sum + each + 1, 0);
  const names = namesOf(samples);
  const name = Math.max(12, Math.min(width - fixed - 1, Math.max(12, ...[...names.values()].map(columns))));
  const head = [
    pad("NAME", name, true),
    ...COLUMNS.map(([title, each]) => pad(title, each, LEFT.has(title))),
  ].join(" ");
  const shown = [style(cut(head, width), "head")];
  for (const sample of [...samples].sort(order)) {
    const cells = COLUMNS.map(([title, each, cell]) => pad(cell(sample), each, LEFT.has(title)));
    shown.push(cut([pad(names.get(sample) ?? "", name, true), ...cells].join(" ").trimEnd(), width));
    if (sample.trouble !== undefined) shown.push(style(cut(`  ! ${safe(sample.trouble)}`, width), "trouble"));
  }
  return shown;
}

const { NO_COLOR } = process.env;
const plainly = (line: string): string => line;
const colored = (line: string, of: "head" | "trouble"): string =>
  NO_COLOR ? line : of === "head" ? `\x1b[7m${line}\x1b[0m` : `\x1b[31m${line}\x1b[0m`;

/** The values for scripts: rates with few digits, and the facts of the file. */
export const plainSample = ({ inspection, done: _, ...sample }: Sample): object => ({
  ...sample,
  pushed: Math.round(sample.pushed * 10) / 10,
  popped: Math.round(sample.popped * 10) / 10,
  waited: Math.round(sample.waited * 10) / 10,
  writers: inspection.writers,
  ...(inspection.lock === undefined ? {} : { lock: inspection.lock }),
});

async function once(sampler: Sampler, asJson: boolean | undefined): Promise<void> {
  sampler.look();
  await sleep(ONCE);
  const samples = sampler.look();
  if (asJson) for (const each of samples) print(json(plainSample(each)));
  else print(lines(samples, process.stdout.columns ?? 120, plainly).join("\n"));
}

/** The screen, which is given back as it was. */
async function live(sampler: Sampler, pause: number): Promise<void> {
  const { stdin, stdout } = process;
  let samples = sampler.look();
  let from = 0;
  const draw = (): void => {
    const height = stdout.rows ?? 24;
    const width = stdout.columns ?? 80;
    const [head = "", ...rest] = lines(samples, width, colored);
    from = Math.max(0, Math.min(from, rest.length - (height - 3)));
    const troubles = samples.filter(({ trouble }) => trouble !== undefined).length;
    const title = `emmap top  ${new Date().toTimeString().slice(0, 8)}  ${samples.length} files, ${troubles} in trouble  q quits, arrows scroll`;
    const body = rest.slice(from, from + height - 2);
    const screen = [cut(title, width), head, ...body].map((line) => `${line}\x1b[K`).join("\n");
    stdout.write(`\x1b[H${screen}\x1b[J`);
  };
  const wake = new AbortController();
  let ended = false;
  const end = (): void => {
    ended = true;
    wake.abort();
  };
  const onKey = (key: Buffer): void => {
    const page = (stdout.rows ?? 24) - 3;
    const step = { "\x1b[A": -1, "\x1b[B": 1, k: -1, j: 1, "\x1b[5~": -page, "\x1b[6~": page, " ": page }[
      key.toString()
    ];
    if (key.toString() === "q" || key.toString() === "\x03" || key.toString() === "\x1b") end();
    else if (step !== undefined) {
      from += step;
      draw();
    }
  };
  stdout.write("\x1b[?1049h\x1b[?25l");
  stdin.setRawMode?.(true);
  stdin.on("data", onKey).resume();
  stdout.on("resize", draw);
  process.on("SIGTERM", end);
  try {
    while (!ended) {
      draw();
      await sleep(pause, undefined, { signal: wake.signal }).catch(() => {});
      if (!ended) samples = sampler.look();
    }
  } finally {
    stdout.off("resize", draw);
    stdin.setRawMode?.(false);
    stdin.pause();
    stdout.write("\x1b[?25h\x1b[?1049l");
  }
}

export async function top(paths: string[], options: Options): Promise<void> {
  const sampler = new Sampler(paths.length === 0 ? ["."] : paths, options.recursive);
  const pause = toSeconds(options.watch, 2) * 1000;
  const isScreen = process.stdout.isTTY && process.stdin.isTTY;
  if (options.once || (!isScreen && options.watch === undefined)) return once(sampler, options.json);
  if (isScreen && !options.json) return live(sampler, pause);
  for (sampler.look(); ; ) {
    await sleep(pause);
    const samples = sampler.look();
    if (options.json) print(json(samples.map(plainSample)));
    else print(`${lines(samples, 120, plainly).join("\n")}\n`);
  }
}
