import type { PathLike } from "node:fs";
import { constants } from "node:os";
import { checkOptions, type Integer, rangeError, toBigInt, typeError, valueError } from "./arguments.js";
import { createError, EmmapError, FIRST_OWN_ERROR } from "./error.js";
import { firstUnknown } from "./etf/options.js";
import { openTable, type Table, type TableEntry } from "./table.js";

/** The type of a metric, as the file has it. */
type Kind = "counter" | "gauge" | "process_gauge" | "histogram";

const KINDS: readonly unknown[] = ["counter", "gauge", "process_gauge", "histogram"] satisfies Kind[];
const isKind = (type: unknown): type is Kind => KINDS.includes(type);

/** A metric's description. {@link counter}, {@link gauge} and {@link histogram} make one. */
export interface Metric<Label extends string = string, Type extends Kind = Kind> {
  /** The type. */
  readonly type: Type;
  /** The names of the labels. */
  readonly labels: readonly Label[];
  /** The upper bounds of a histogram's buckets. */
  readonly buckets: readonly number[];
  /** A sentence for people. */
  readonly help: string;
  /** The most series, which are combinations of label values. Values for further series are dropped, and counted. */
  readonly maxSeries: number;
}

/** The options of all metrics. */
export interface MetricOptions<Label extends string> {
  /** The names of the labels. Default: none. */
  labels?: readonly Label[] | undefined;
  /** A sentence for people. */
  help?: string | undefined;
  /** The most series. Default 1000. */
  maxSeries?: number | undefined;
}

type WithoutLabels = Omit<MetricOptions<never>, "labels"> & { labels?: undefined };
type WithLabels<Label extends string> = MetricOptions<Label> & { labels: readonly Label[] };

const COUNTER_OPTIONS: ReadonlySet<string> = new Set<keyof MetricOptions<string>>([
  "labels",
  "help",
  "maxSeries",
]);
const GAUGE_OPTIONS: ReadonlySet<string> = new Set([...COUNTER_OPTIONS, "perProcess"]);
const HISTOGRAM_OPTIONS: ReadonlySet<string> = new Set([...COUNTER_OPTIONS, "buckets"]);
const OPEN_OPTIONS: ReadonlySet<string> = new Set<keyof MetricsOptions>(["capacity"]);

function metric<Label extends string, Type extends Kind>(
  type: Type,
  options: MetricOptions<Label>,
  buckets: readonly number[] = [],
): Metric<Label, Type> {
  const { labels = [], help = "", maxSeries = 1000 } = options;
  if (!Array.isArray(labels)) throw typeError("labels", "an array", labels);
  for (const label of labels)
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label))
      throw rangeError("labels", "names of letters and digits", label);
  if (typeof help !== "string") throw typeError("help", "of type string", help);
  if (!Number.isSafeInteger(maxSeries) || maxSeries < 1)
    throw rangeError("maxSeries", "1 or more", maxSeries);
  return { type, labels, buckets, help, maxSeries };
}

/** A whole number that only grows, for example of requests or errors. */
export function counter(options?: WithoutLabels): Metric<never, "counter">;
/** The same with labels. */
export function counter<const Label extends string>(options: WithLabels<Label>): Metric<Label, "counter">;
export function counter(options: MetricOptions<string> = {}): Metric<never, "counter"> {
  checkOptions(options, COUNTER_OPTIONS);
  return metric("counter", options) as never;
}

/**
 * A whole number that goes up and down. With `perProcess` each process has a number of its own, and the text shows the sum, without
 * the processes that have died or closed the file. Where there is no live folder (docs/live.md), it shows this process's alone.
 */
export function gauge(options?: WithoutLabels & { perProcess?: boolean | undefined }): Metric<never, "gauge">;
/** The same with labels. */
export function gauge<const Label extends string>(
  options: WithLabels<Label> & { perProcess?: boolean | undefined },
): Metric<Label, "gauge">;
export function gauge(
  options: MetricOptions<string> & { perProcess?: boolean | undefined } = {},
): Metric<never, "gauge"> {
  checkOptions(options, GAUGE_OPTIONS);
  const { perProcess = false } = options;
  if (typeof perProcess !== "boolean") throw typeError("perProcess", "of type boolean", perProcess);
  return metric(perProcess ? "process_gauge" : "gauge", options) as never;
}

/** Whether numbers are the bounds of buckets. */
const areBounds = (numbers: readonly number[]): boolean =>
  numbers.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > (numbers[i - 1] as number)));

/** Counts values by their size, in up to 60 buckets with these upper bounds. The sum of the values has six decimals. */
export function histogram(
  options: WithoutLabels & { buckets: readonly number[] },
): Metric<never, "histogram">;
/** The same with labels. */
export function histogram<const Label extends string>(
  options: WithLabels<Label> & { buckets: readonly number[] },
): Metric<Label, "histogram">;
export function histogram(
  options: MetricOptions<string> & { buckets: readonly number[] },
): Metric<never, "histogram"> {
  checkOptions(options, HISTOGRAM_OPTIONS);
  const { buckets } = options;
  if (!Array.isArray(buckets)) throw typeError("buckets", "an array", buckets);
  if (!areBounds(buckets)) throw rangeError("buckets", "numbers in ascending order", buckets);
  if (buckets.length > MOST_BUCKETS) throw rangeError("buckets", `at most ${MOST_BUCKETS} numbers`, buckets);
  return metric("histogram", options, buckets) as never;
}

/** The metrics of a file by their names. */
export type MetricSchema = Readonly<Record<string, Metric>>;

/** The values of a series' labels. */
export type LabelValues<Label extends string> = Readonly<Record<Label, string | number>>;

/** One combination of label values of a counter. */
export interface CounterSeries {
  /**
   * Adds to the number. Default: 1.
   * @throws RangeError for a fraction, for 2^63 and more, and for a number below 0 if this is a counter
   */
  add(value?: Integer): void;
}

/** One combination of label values of a gauge. */
export interface GaugeSeries extends CounterSeries {
  /** Sets the number. */
  set(value: Integer): void;
}

/** One combination of label values of a histogram. */
export interface HistogramSeries {
  /**
   * Counts a value.
   * @throws RangeError for a value that is not from -(2^53-1) to 2^53-1
   */
  observe(value: number): void;
}

type SeriesOf<Type extends Kind> = Type extends "counter"
  ? CounterSeries
  : Type extends "histogram"
    ? HistogramSeries
    : GaugeSeries;

/** The property of {@link Metrics} for a metric. A metric without labels is its own only series. */
export type Instrument<M extends Metric> =
  M extends Metric<infer Label, infer Type>
    ? [Label] extends [never]
      ? SeriesOf<Type>
      : {
          /** The series of these label values; one that is missing is "". Keep it if you use it often. */
          labels(values: LabelValues<Label>): SeriesOf<Type>;
        }
    : never;

/** How to open metrics. */
export interface MetricsOptions {
  /** The most series of all metrics together, in a new file. Default 10,000. */
  capacity?: Integer | undefined;
}

/** The part of a registry of prom-client that {@link Metrics.register} uses. */
export interface MetricRegistry {
  /** Adds a metric. */
  registerMetric(metric: never): void;
}

/** Stands between the parts of a key, and at the beginning of the keys that are no series. */
const SEPARATOR = "\0";
const SCHEMA = "\x01";
const COUNTS = "\x02";
const FIELD = "\x1f";
/** The least number of words of a series. A histogram has its buckets, one without a bound, and those of the sum. */
const LEAST_WORDS = 16;
/** The sum of a histogram has a word for millionths, one for ones and one for millions. */
const MILLION = 1_000_000;
const SUM_WORDS = 3;
/** A key of a table has 64 words. */
const MOST_BUCKETS = 64 - 1 - SUM_WORDS;
const MILLIONS = BigInt(MILLION);
/** So many entries are read at once. */
const STEP = 65_536n;
/** So many series of the last scrape are looked at for one, if others come before it. */
const AHEAD = 100;
/** The word that counts the series, in the key of a metric. */
const SERIES = 0;
const DROPPED = 1;
/** So often a process without room looks for places of dead processes, since a look reads the whole file. */
const LOOK_MS = 1000;

const wordsOf = ({ type, buckets }: Metric): number =>
  type === "histogram" ? buckets.length + 1 + SUM_WORDS : 1;
const clean = (value: string | number): string => String(value).replaceAll("\0", "\ufffd");
const escaped = (value: string): string =>
  /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`)) : value;

/** A number that the words of a series can hold. Others would wrap. */
function toWord(value: Integer): bigint {
  const word = toBigInt(value, "value");
  if (BigInt.asIntN(64, word) !== word) throw rangeError("value", "below 2^63", value);
  return word;
}

const isFull = (error: unknown): boolean => error instanceof EmmapError && error.code === "EMMAP_FULL";

/** A combination of label values. Each method checks its argument before it changes or drops anything. */
class Series {
  readonly #find: () => TableEntry | undefined;
  readonly #drop: () => void;
  #entry: TableEntry | undefined;

  constructor(find: () => TableEntry | undefined, drop: () => void) {
    this.#find = find;
    this.#drop = drop;
    this.#entry = find();
  }

  /** The entry to use; undefined if the value is dropped. A series that had no room may have it now. */
  protected entry(): TableEntry | undefined {
    this.#entry ??= this.#find();
    if (this.#entry === undefined) this.#drop();
    return this.#entry;
  }
}

class OneCounter extends Series implements CounterSeries {
  add(value: Integer = 1): void {
    const word = toWord(value);
    if (word < 0n) throw rangeError("value", "0 or more, because a counter only grows", value);
    this.entry()?.add(0, word);
  }
}

class OneGauge extends Series implements GaugeSeries {
  add(value: Integer = 1): void {
    const word = toWord(value);
    this.entry()?.add(0, word);
  }

  set(value: Integer): void {
    const word = toWord(value);
    this.entry()?.set(0, word);
  }
}

class OneHistogram extends Series implements HistogramSeries {
  readonly #buckets: readonly number[];

  constructor(find: () => TableEntry | undefined, drop: () => void, buckets: readonly number[]) {
    super(find, drop);
    this.#buckets = buckets;
  }

  observe(value: number): void {
    if (typeof value !== "number") throw typeError("value", "of type number", value);
    if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER))
      throw rangeError("value", "from -(2^53-1) to 2^53-1", value);
    const buckets = this.#buckets;
    let bucket = 0;
    while (bucket < buckets.length && value > (buckets[bucket] as number)) bucket++;
    const entry = this.entry();
    if (entry === undefined) return;
    entry.add(bucket, 1);
    // Three words, so that no program makes the sum wrap. The first alone is the sum of small values.
    const millionths = buckets.length + 1;
    const whole = Math.trunc(value);
    const ones = whole % MILLION;
    const parts = [Math.round((value - whole) * MILLION), ones, (whole - ones) / MILLION];
    for (const [i, part] of parts.entries()) if (part !== 0) entry.add(millionths + i, part);
  }
}

/** A metric of the file. */
type Stored = Metric & { readonly name: string };

/** A series of the file. It is kept from one scrape to the next, since to make its texts takes longer than to read its numbers. */
interface Known {
  /** The bytes of the key, one a character. */
  readonly key: string;
  /** Undefined: a key that is no series. */
  readonly about: Stored | undefined;
  /** Of a gauge per process: the process. */
  readonly process: string | undefined;
  /** What comes before the number in each line of its text. */
  readonly prefixes: readonly string[];
}

/** The place of a key behind `next`; -1: it is not there. It looks as far as some deleted series go. */
function ahead(series: readonly Known[], next: number, key: string): number {
  const end = Math.min(series.length, next + AHEAD);
  for (let i = next + 1; i < end; i++) if (series[i]?.key === key) return i;
  return -1;
}

type KnownSeries = Known & { readonly about: Stored };

/** One number of a series, or of one bucket. @internal */
export interface Sample {
  readonly metric: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | string;
}

/** The place of the words of an entry in what a walk has read. */
type Visit = (series: KnownSeries, packed: Buffer, words: number) => void;
/** What was dropped of a metric. */
type Dropped = [name: string, count: number | bigint][];

/** The parts of the key of a series: the name, the values of its labels, and of a gauge per process the process. */
function partsOf(key: string): string[] {
  const text = /[\x80-\xff]/.test(key) ? Buffer.from(key, "latin1").toString() : key;
  return text.split(SEPARATOR);
}

/** The word at an offset: a bigint only if a number would be rounded. */
function wordAt(packed: Buffer, at: number): number | bigint {
  const number = packed.readInt32LE(at + 4) * 2 ** 32 + packed.readUInt32LE(at);
  return Number.isSafeInteger(number) ? number : packed.readBigInt64LE(at);
}

const sum = (one: number | bigint, other: number | bigint): number | bigint =>
  typeof one === "number" && typeof other === "number" ? one + other : BigInt(one) + BigInt(other);

/**
 * One set of metrics of all processes of both runtimes, which outlives their restarts. {@link openMetrics} makes it, with a
 * property for each metric.
 */
export class Metrics {
  readonly #table: Table;
  readonly #schema: MetricSchema;
  /** False: a scrape must not change the file. */
  readonly #writable: boolean;
  /** Names this process: its per-process gauges end with it. */
  readonly #process: string;
  /** The metrics of the file, as far as they are known. */
  readonly #stored: Map<string, Stored>;
  /** The series of the last scrape, in the order of the file. */
  #order: Known[] = [];
  /** When this process may look for places of dead processes again. */
  #nextLook = 0;

  /** @internal */
  constructor(table: Table, schema: MetricSchema, writable = true) {
    this.#table = table;
    this.#writable = writable;
    this.#schema = schema;
    this.#stored = stored(table);
    const own = table.writers().filter((writer) => writer.process === process.pid);
    // Without a live folder: when this process began, since a later one may have its id.
    const since =
      own.length === 0
        ? Math.round(performance.timeOrigin)
        : Math.max(...own.map((writer) => writer.since.getTime()));
    this.#process = `${process.pid}.${since}`;
    for (const [name, each] of Object.entries(schema))
      Object.defineProperty(this, name, { value: this.#instrument(name, each) });
  }

  #instrument(name: string, each: Metric): unknown {
    if (each.labels.length === 0) return this.#series(name, each, []);
    const known = new Map<string, Series>();
    const names = new Set(each.labels);
    const labels = (values: LabelValues<string>): Series => {
      if (typeof values !== "object" || values === null) throw typeError("values", "an object", values);
      const unknown = firstUnknown(values, names);
      if (unknown !== undefined) throw valueError(`The metric "${name}" has no label "${unknown}"`);
      const parts = each.labels.map((label) => clean(values[label] ?? ""));
      const key = parts.join(SEPARATOR);
      let series = known.get(key);
      if (series === undefined) {
        series = this.#series(name, each, parts);
        if (known.size < each.maxSeries) known.set(key, series);
      }
      return series;
    };
    return { labels };
  }

  #series(name: string, each: Metric, parts: readonly string[]): Series {
    const own = each.type === "process_gauge" ? [this.#process] : [];
    const key = [name, ...parts, ...own].join(SEPARATOR);
    const isTooLong = Buffer.byteLength(key) > this.#table.keyBytes;
    const find = (): TableEntry | undefined => (isTooLong ? undefined : this.#entry(name, each, key));
    const drop = (): void => {
      this.#table.add(COUNTS + name, DROPPED, 1);
    };
    if (each.type === "counter") return new OneCounter(find, drop);
    if (each.type === "histogram") return new OneHistogram(find, drop, each.buckets);
    return new OneGauge(find, drop);
  }

  /** The entry of a series, which it inserts. Undefined: there is no room for it, not even in place of the dead. */
  #entry(name: string, each: Metric, key: string): TableEntry | undefined {
    let entry = this.#insert(name, each, key);
    const deadMayHelp = entry === "full" || (entry === "too many" && each.type === "process_gauge");
    if (deadMayHelp && performance.now() >= this.#nextLook) {
      this.giveBack();
      this.#nextLook = performance.now() + LOOK_MS;
      entry = this.#insert(name, each, key);
    }
    return typeof entry === "string" ? undefined : entry;
  }

  #insert(name: string, each: Metric, key: string): TableEntry | "full" | "too many" {
    const table = this.#table;
    const isNew = table.get(key) === undefined;
    if (isNew && table.add(COUNTS + name, SERIES, 1) >= BigInt(each.maxSeries)) {
      table.add(COUNTS + name, SERIES, -1);
      return "too many";
    }
    try {
      return table.entry(key);
    } catch (error) {
      if (isNew) table.add(COUNTS + name, SERIES, -1);
      if (!isFull(error)) throw error;
      return "full";
    }
  }

  /** Gives back the places of dead processes. @internal */
  giveBack(): void {
    this.#scrape(() => {});
  }

  /** Visits all series of living processes. Deletes those of dead ones, if it may. */
  #scrape(visit: Visit): Dropped {
    const table = this.#table;
    const living = new Set(table.writers().map(({ process: id, since }) => `${id}.${since.getTime()}`));
    // Without a live folder nothing tells which other processes live.
    const knowsDead = this.#writable && living.size > 0;
    living.add(this.#process);
    const dropped: Dropped = [];
    const dead: KnownSeries[] = [];
    const before = this.#order;
    const order: Known[] = [];
    let next = 0;
    const size = 8 * table.words;
    for (const packed of table.packed(STEP)) {
      for (let at = 0; at < packed.length; ) {
        const words = at + 4;
        at = words + packed.readUInt32LE(at);
        const key = packed.toString("latin1", words + size, at);
        // Most often nothing was inserted or deleted since then.
        const found = before[next]?.key === key ? next : ahead(before, next, key);
        const series = before[found] ?? this.#meet(key);
        if (found >= 0) next = found + 1;
        order.push(series);
        if (series.about === undefined) {
          const name = key.startsWith(COUNTS) ? key.slice(1) : "";
          const count = this.#stored.has(name) ? wordAt(packed, words + 8 * DROPPED) : 0;
          if (count !== 0) dropped.push([name, count]);
        } else if (series.process === undefined || living.has(series.process)) {
          visit(series as KnownSeries, packed, words);
        } else dead.push(series as KnownSeries);
      }
    }
    this.#order = order;
    if (knowsDead)
      for (const { key, about } of dead)
        if (table.delete(Buffer.from(key, "latin1"))) table.add(COUNTS + about.name, SERIES, -1);
    return dropped;
  }

  /** Reads the key of a series that no scrape has seen yet. */
  #meet(key: string): Known {
    const parts = partsOf(key);
    const name = parts[0] as string;
    const isSeries = !key.startsWith(SCHEMA) && !key.startsWith(COUNTS);
    // Another program may have added a metric.
    if (isSeries && !this.#stored.has(name))
      for (const [each, about] of stored(this.#table))
        if (!this.#stored.has(each)) this.#stored.set(each, about);
    const about = isSeries ? this.#stored.get(name) : undefined;
    const process = about?.type === "process_gauge" ? parts.pop() : undefined;
    return { key, about, process, prefixes: about === undefined ? [] : prefixes(about, parts) };
  }

  /** Visits all series with their numbers. A gauge per process is one series. */
  #read(visit: (series: KnownSeries, numbers: Numbers) => void): Dropped {
    const gauges = new Map<string, [series: KnownSeries, numbers: Numbers]>();
    const dropped = this.#scrape((series, packed, words) => {
      const numbers = numbersOf(series.about, packed, words);
      if (series.process === undefined) {
        visit(series, numbers);
        return;
      }
      const [prefix] = series.prefixes as [string];
      const [number] = gauges.get(prefix)?.[1] ?? [0];
      gauges.set(prefix, [series, [sum(number as number | bigint, numbers[0] as number | bigint)]]);
    });
    for (const gauge of gauges.values()) visit(...gauge);
    return dropped;
  }

  /**
   * The metrics in Prometheus's text format. `emmap_metrics_dropped_total` counts the values that were dropped beyond a metric's
   * `maxSeries`.
   */
  async text(): Promise<string> {
    const groups = new Map<Stored, string[]>();
    const dropped = this.#read(({ about, prefixes }, numbers) => {
      let lines = groups.get(about);
      if (lines === undefined) {
        lines = [];
        groups.set(about, lines);
      }
      for (let i = 0; i < prefixes.length; i++) lines.push(`${prefixes[i]}${numbers[i]}`);
    });
    const parts: string[] = [];
    for (const name of [...this.#stored.keys()].sort()) {
      const about = this.#stored.get(name) as Stored;
      // promtool wants a text for each metric.
      const help = this.#schema[name]?.help || name;
      parts.push(`# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      parts.push(`# TYPE ${name} ${about.type === "process_gauge" ? "gauge" : about.type}`);
      const lines = groups.get(about);
      if (lines !== undefined) parts.push(lines.join("\n"));
    }
    if (dropped.length > 0) {
      parts.push(`# HELP ${DROPPED_TOTAL} What was not counted because a metric had too many series.`);
      parts.push(`# TYPE ${DROPPED_TOTAL} counter`);
      for (const [name, count] of dropped) parts.push(`${DROPPED_TOTAL}{metric="${name}"} ${count}`);
    }
    return parts.length === 0 ? "" : `${parts.join("\n")}\n`;
  }

  /** The numbers one by one, as prom-client has them. @internal */
  samples(): Sample[] {
    const found: Sample[] = [];
    this.#read(({ about, key }, numbers) => {
      const [, ...values] = partsOf(key);
      const named = Object.fromEntries(about.labels.map((label, i) => [label, values[i] ?? ""]));
      for (const [i, [suffix, le]] of lineParts(about).entries()) {
        const number = numbers[i] as number | bigint;
        found.push({
          metric: about.name,
          name: about.name + suffix,
          labels: le === undefined ? named : { ...named, le },
          value: typeof number === "bigint" ? String(number) : number,
        });
      }
    });
    return found;
  }

  /** Adds the metrics to a registry of prom-client: `metrics.register(promClient.register)`. */
  register(registry: MetricRegistry): void {
    for (const [name, { help, type }] of Object.entries(this.#schema)) {
      const about = {
        name,
        help: help || name,
        type: type === "process_gauge" ? "gauge" : type,
        aggregator: "first",
      };
      const get = async (): Promise<unknown> => {
        const values = this.samples()
          .filter(({ metric }) => metric === name)
          .map(({ name: metricName, labels, value }) => ({ metricName, labels, value: Number(value) }));
        return { ...about, values };
      };
      registry.registerMetric({ ...about, get, reset: () => {} } as never);
    }
  }

  /** Closes the file. This process's gauges are gone then; all other numbers stay. */
  close(): void {
    this.#table.close();
  }

  /** Closes the file, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The numbers of a series, one for each of its lines. */
type Numbers = (number | bigint)[];

/** The lines of a series: what follows the metric's name, and the upper bound of a bucket. */
const lineParts = ({ type, buckets }: Metric): [suffix: string, bound: string | undefined][] =>
  type === "histogram"
    ? [
        ...[...buckets, "+Inf"].map((bound): [string, string] => ["_bucket", String(bound)]),
        ["_sum", undefined],
        ["_count", undefined],
      ]
    : [["", undefined]];

function prefixes(about: Stored, [, ...values]: readonly string[]): string[] {
  const labels = about.labels.map((label, i) => `${label}="${escaped(values[i] ?? "")}"`);
  return lineParts(about).map(([suffix, bound]) => {
    const shown = [...labels, ...(bound === undefined ? [] : [`le="${bound}"`])].join(",");
    return `${about.name}${suffix}${shown === "" ? "" : `{${shown}}`} `;
  });
}

/** The numbers of a series from its words. Those of a histogram's buckets are sums. */
function numbersOf({ type, buckets }: Stored, packed: Buffer, at: number): Numbers {
  if (type !== "histogram") return [wordAt(packed, at)];
  const numbers: Numbers = [];
  let count: number | bigint = 0;
  let place = at;
  for (; numbers.length <= buckets.length; place += 8) {
    count = sum(count, wordAt(packed, place));
    numbers.push(count);
  }
  const [millionths, ones, millions] = [0, 8, 16].map((offset) => BigInt(wordAt(packed, place + offset)));
  const total = ((millions as bigint) * MILLIONS + (ones as bigint)) * MILLIONS + (millionths as bigint);
  numbers.push(Number(total) / MILLION, count);
  return numbers;
}

/** Throws if the words of the file are too few for a histogram. */
function checkRoom(table: Table, name: string, each: Metric): void {
  if (wordsOf(each) > table.words)
    throw changed(
      table.path,
      `"${name}" has ${each.buckets.length} buckets, and the file has room for ${table.words - 1 - SUM_WORDS}`,
    );
}

/** The keys that describe the metrics of the file. */
function* descriptions(table: Table): Generator<Buffer, void, undefined> {
  const size = 8 * table.words;
  for (const packed of table.packed(STEP)) {
    for (let at = 0; at < packed.length; ) {
      const key = at + 4 + size;
      at += 4 + packed.readUInt32LE(at);
      if (packed[key] === SCHEMA.charCodeAt(0)) yield packed.subarray(key, at);
    }
  }
}

/** The metrics that the file has. Throws for a description that no program of emmap has written. */
function stored(table: Table): Map<string, Stored> {
  const found = new Map<string, Stored>();
  for (const key of descriptions(table)) {
    const about = described(key.toString("utf8", 1));
    if (about === undefined)
      throw metricsError(table.path, "EMMAP_CORRUPT", "the description of a metric is damaged");
    checkRoom(table, about.name, about);
    if (!found.has(about.name)) found.set(about.name, about);
  }
  return found;
}

/** Deletes damaged descriptions, and returns their number. A program that has the metric describes it anew. @internal */
export function forgetDamaged(table: Table): number {
  const damaged = [...descriptions(table)].filter((key) => described(key.toString("utf8", 1)) === undefined);
  for (const key of damaged) table.delete(key);
  return damaged.length;
}

/** The metric that a text of the schema describes. */
function described(text: string): Stored | undefined {
  const [name = "", type, labels, buckets, ...more] = text.split(FIELD);
  if (!isKind(type) || labels === undefined || buckets === undefined || more.length > 0) return undefined;
  const list = (items: string): string[] => (items === "" ? [] : items.split(","));
  const about = {
    name,
    type,
    labels: list(labels),
    buckets: list(buckets).map(Number),
    help: "",
    maxSeries: 0,
  };
  const isSound = areBounds(about.buckets) && about.buckets.join(",") === buckets;
  const hasBuckets = type === "histogram" || buckets === "";
  return isSound && hasBuckets && brokenRule(name, about) === undefined ? about : undefined;
}

/** The metric that counts the dropped values. */
const DROPPED_TOTAL = "emmap_metrics_dropped_total";

/** The rule that a metric breaks. Prometheus refuses a whole text if one name is wrong. */
function brokenRule(name: string, { labels }: Metric): string | undefined {
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name))
    return "a name has letters, digits, _ and :, and does not begin with a digit";
  if (!labels.every((label) => /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(label)))
    return "a label has letters, digits and _, and does not begin with a digit or __";
  if (labels.includes("le") || labels.includes("quantile"))
    return "le and quantile are labels that Prometheus uses itself";
  if (new Set(labels).size < labels.length) return "two labels have the same name";
  return undefined;
}

/** The names that a metric has in the text. */
const shownNames = (name: string, { type }: Metric): string[] =>
  type === "histogram" ? ["", "_bucket", "_sum", "_count"].map((suffix) => name + suffix) : [name];

/** Refuses a metric of the schema that shows the same name as another one, in the schema or the file. */
function checkShown(path: string, there: ReadonlyMap<string, Metric>, schema: MetricSchema): void {
  const owners = new Map([[DROPPED_TOTAL, DROPPED_TOTAL]]);
  for (const [name, each] of there) for (const shown of shownNames(name, each)) owners.set(shown, name);
  for (const [name, each] of Object.entries(schema)) {
    for (const shown of shownNames(name, each)) {
      const owner = owners.get(shown) ?? name;
      if (owner !== name || name === DROPPED_TOTAL)
        throw changed(path, `"${name}" is refused: the text of "${owner}" has the name ${shown} too`);
      owners.set(shown, name);
    }
  }
}

/** Refuses a metric that a description of the file contradicts. */
function checkSame(path: string, before: Stored, each: Metric): void {
  for (const what of ["type", "labels", "buckets"] as const)
    if (String(before[what]) !== String(each[what]))
      throw changed(
        path,
        `"${before.name}" has the ${what} ${String(before[what])} in the file, and ${String(each[what])} here`,
      );
}

/** Adds the metrics that are new, and refuses those that have changed. */
function settle(table: Table, path: string, schema: MetricSchema): void {
  const there = stored(table);
  const added: string[] = [];
  checkShown(path, there, schema);
  for (const [name, each] of Object.entries(schema)) {
    const before = there.get(name);
    if (before !== undefined) checkSame(path, before, each);
    else {
      checkRoom(table, name, each);
      const key = SCHEMA + [name, each.type, each.labels.join(","), each.buckets.join(",")].join(FIELD);
      table.entry(key);
      added.push(key);
    }
    // What a full file drops is counted here.
    if (table.get(COUNTS + name) === undefined) table.entry(COUNTS + name);
  }
  try {
    if (added.length > 0) checkAlone(table, path, schema);
  } catch (error) {
    for (const key of added) table.delete(key);
    throw error;
  }
}

/** Refuses a schema that another process has contradicted while this one added metrics. */
function checkAlone(table: Table, path: string, schema: MetricSchema): void {
  for (const key of descriptions(table)) {
    const about = described(key.toString("utf8", 1));
    const mine = about === undefined || !Object.hasOwn(schema, about.name) ? undefined : schema[about.name];
    if (about !== undefined && mine !== undefined) checkSame(path, about, mine);
  }
  checkShown(path, stored(table), schema);
}

function metricsError(path: string, code: "EINVAL" | "EMMAP_CORRUPT", reason: string): EmmapError {
  const [number, description] = {
    EINVAL: [constants.errno.EINVAL, "invalid argument"] as const,
    EMMAP_CORRUPT: [FIRST_OWN_ERROR, "the file is damaged"] as const,
  }[code];
  return createError(number, code, description, "metrics_open", undefined, path, reason);
}

const changed = (path: string, what: string): EmmapError =>
  metricsError(path, "EINVAL", `the metric ${what}`);

/**
 * Opens a file of metrics, or creates one. All processes of both runtimes that open it count together, and a restart loses nothing.
 *
 * ```ts
 * using metrics = openMetrics("metrics.table", {
 *   requests_total: counter({ labels: ["route", "status"] }),
 *   latency_seconds: histogram({ buckets: [0.01, 0.1, 1] }),
 *   in_flight: gauge({ perProcess: true }),
 * });
 * metrics.requests_total.labels({ route: "/", status: 200 }).add();
 * metrics.latency_seconds.observe(0.02);
 * response.end(await metrics.text());
 * ```
 *
 * The file records the types, labels and buckets of its metrics. A program may add metrics to those of the file.
 * @throws {EmmapError} as {@link openTable}; EINVAL if a metric has another type, other labels or other buckets than in the file,
 * or if two metrics show the same name in the text, as a histogram `x` and a counter `x_count` do; EMMAP_CORRUPT if the file's
 * description of a metric is damaged; RangeError for a name or a label that Prometheus refuses. The message names the metric and the
 * rule.
 */
export function openMetrics<const Schema extends MetricSchema>(
  path: PathLike,
  schema: Schema,
  options: MetricsOptions = {},
): Metrics & { readonly [Name in keyof Schema]: Instrument<Schema[Name]> } {
  checkOptions(options, OPEN_OPTIONS);
  const { capacity = 10_000 } = options;
  if (typeof schema !== "object" || schema === null) throw typeError("schema", "an object", schema);
  for (const [name, each] of Object.entries(schema)) {
    // Not one that the caller has written out.
    if (!isKind(each?.type) || !Array.isArray(each.labels) || !Array.isArray(each.buckets))
      throw typeError(`schema.${name}`, "a counter, a gauge or a histogram", each);
    const rule = brokenRule(name, each) ?? (name in Metrics.prototype ? "a method has this name" : undefined);
    if (rule !== undefined) throw rangeError(`schema.${name}`, `a metric of Prometheus: ${rule}`, each);
  }
  const words = Math.max(LEAST_WORDS, ...Object.values(schema).map(wordsOf));
  const table = openOrCreate(path, toBigInt(capacity, "options.capacity"), words);
  try {
    try {
      settle(table, table.path, schema);
    } catch (error) {
      if (!isFull(error)) throw error;
      new Metrics(table, {}).giveBack();
      settle(table, table.path, schema);
    }
    return new Metrics(table, schema) as never;
  } catch (error) {
    table.close();
    throw error;
  }
}

/** The metrics of a file, to read them without changing anything. @internal */
export const readMetrics = (path: PathLike): Metrics =>
  new Metrics(openTable(path, { read: true }), {}, false);

/** An existing file keeps its shape. */
function openOrCreate(path: PathLike, capacity: bigint, words: number): Table {
  try {
    return openTable(path, { write: true });
  } catch (error) {
    if (!(error instanceof EmmapError) || !["ENOENT", "EMMAP_CORRUPT"].includes(error.code)) throw error;
    return openTable(path, { capacity, keyBytes: 1024, words });
  }
}
