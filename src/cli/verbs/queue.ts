// emmap queue
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { EMPTY, openQueue, type Queue } from "../../queue.js";
import { Failure, missing, Status } from "../failure.js";
import { handTable } from "../hand.js";
import { inHandIfSound, inHandOf } from "../inside.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report, writeOut } from "../output.js";
import { type Form, line, parsed, payloadOf, value } from "../terms.js";
import { json, plural } from "../text.js";
import { chosen, count } from "../words.js";
import { follow } from "./follow.js";

interface Options extends Common {
  as: Form;
  count?: string;
  follow?: boolean;
  create?: boolean;
}

const VERBS = ["peek", "tail", "push", "pop", "take", "purge", "move", "copy", "hand", "release"] as const;

type Bytes = Queue<Uint8Array | string, Buffer>;

const shown = (messages: readonly Buffer[], form: Form): Result => ({
  text: messages.map((each) => line(each, form)).join("\n"),
  values: messages.map((each) => ({ message: value(each) })),
});

/** What standard output gets of a message. */
function written(message: Buffer, { as, json: asJson }: Options): Buffer {
  if (as === "raw") return payloadOf(message);
  return Buffer.from(`${asJson ? json({ message: value(message) }) : line(message, as)}\n`);
}

function show(messages: readonly Buffer[], options: Options): void {
  for (const each of messages) process.stdout.write(written(each, options));
}

function first(path: string, limit: number): Buffer[] {
  using queue = openQueue(path, { read: true, raw: true });
  return some(queue, limit);
}

function last(path: string, limit: number): Buffer[] {
  using queue = openQueue(path, { read: true, raw: true });
  return some(queue.reversed(), limit).reverse();
}

function some(all: Iterable<Buffer>, limit: number): Buffer[] {
  const taken: Buffer[] = [];
  if (limit > 0)
    for (const each of all) {
      taken.push(each);
      if (taken.length >= limit) break;
    }
  return taken;
}

const openForWriting = (path: string, create: boolean | undefined): Bytes => {
  if (!create && !existsSync(path)) throw missing(path);
  return openQueue(path, { write: true, create: create === true, raw: true });
};

function push(path: string, words: readonly string[], options: Options): Result {
  const given =
    words.length > 0
      ? words
      : readFileSync(0, "utf8")
          .split("\n")
          .filter((each) => each !== "");
  const messages = given.map((word) => parsed(word, options.as));
  using queue = openForWriting(path, options.create);
  queue.pushMany(messages);
  return { text: "", values: [{ pushed: messages.length }] };
}

/** Removes a message after standard output has accepted it. A death in between leaves it in the queue, and none is lost. */
function pop(path: string, limit: number, options: Options): void {
  using queue = openForWriting(path, false);
  for (let popped = 0; popped < limit; popped++)
    if (queue.tryPop((message) => writeOut(written(message, options))) === EMPTY) {
      if (popped === 0) throw new Failure(`${path} is empty`, Status.nothing);
      return;
    }
}

/**
 * Gives messages to a program, one by one, as its standard input. If the program ends with status 0 the message is gone for good;
 * otherwise, and if this process dies, another consumer gets it.
 */
function take(path: string, [program, ...args]: string[], limit: number, form: Form): void {
  if (program === undefined)
    throw new Failure(
      "take needs a program that gets the message: take -- PROGRAM ARGUMENT...",
      Status.usage,
    );
  using queue = openForWriting(path, false);
  for (let taken = 0; taken < limit; taken++) {
    using job = queue.tryTake();
    if (job === null) {
      if (taken === 0) throw new Failure(`${path} is empty`, Status.nothing);
      return;
    }
    const input = form === "raw" ? payloadOf(job.message) : `${line(job.message, form)}\n`;
    const { status, signal, error } = spawnSync(program, args, {
      input,
      stdio: ["pipe", "inherit", "inherit"],
    });
    if (error !== undefined && status === null && signal === null) throw error;
    if (status !== 0) throw new Failure(`${program} ended with ${signal ?? status}; its message is released`);
    job.ack();
  }
}

function purge(path: string): Result {
  using queue = openForWriting(path, false);
  const delayed = inHandIfSound(path).filter(({ due }) => due !== null && due.getTime() > Date.now());
  const purged = queue.length() + delayed.length;
  queue.purge();
  return { text: `${plural(purged, "message")} removed`, values: [{ purged }] };
}

/** Messages that consumers have in hand, and released ones. */
function hand(path: string): Result {
  const values = inHandOf(path);
  return { text: handTable(values), values };
}

/** For a return to emmap 2.x, which knows no messages in hand. */
function release(path: string): Result {
  using queue = openForWriting(path, false);
  const released = queue.releaseAll();
  return { text: `${plural(released, "message")} put back`, values: [{ released }] };
}

/** Whether both paths lead to one file. */
function isSame(path: string, to: string): boolean {
  const [one, other] = [path, to].map((each) => statSync(each, { bigint: true, throwIfNoEntry: false }));
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino;
}

/** One by one: a death in between leaves a message in both queues, and never in none. */
function move(path: string, to: string, limit: number, create: boolean | undefined): Result {
  using from = openForWriting(path, false);
  using target = openForWriting(to, create);
  let moved = 0;
  while (moved < limit && from.tryPop((message: Buffer) => void target.push(payloadOf(message))) !== EMPTY)
    moved++;
  return { text: `${plural(moved, "message")} moved`, values: [{ moved }] };
}

function copy(path: string, to: string, limit: number, create: boolean | undefined): Result {
  const messages = first(path, limit).map(payloadOf);
  using target = openForWriting(to, create);
  target.pushMany(messages);
  const left = inHandIfSound(path).length;
  if (left > 0)
    process.stderr.write(
      `emmap: ${plural(left, "message")} in hand or released: not copied. emmap backup copies all\n`,
    );
  return { text: `${plural(messages.length, "message")} copied`, values: [{ copied: messages.length }] };
}

/** Fails unless there is a queue, or `create` is given and nothing is there. */
function expectQueue(path: string, create: boolean | undefined): void {
  if (!create || existsSync(path)) inspectAs("queue", path);
}

export async function queue(path: string, verb: string, words: string[], options: Options): Promise<void> {
  const what = chosen(verb, VERBS);
  const once = { json: options.json };
  expectQueue(path, what === "push" && options.create);
  const everything = Number.MAX_SAFE_INTEGER;
  const number = count(
    what === "peek" || what === "tail" || what === "pop" ? (options.count ?? words[0]) : options.count,
    { peek: 10, tail: 10, pop: 1, take: 1 }[what as string] ?? everything,
  );
  switch (what) {
    case "peek":
    case "tail": {
      const read = what === "peek" ? first : last;
      if (what === "tail" && options.follow)
        return follow(path, number, (messages) => show(messages, options));
      if (options.as === "raw") return show(read(path, number), options);
      return report(options, () => shown(read(path, number), options.as));
    }
    case "push":
      return report(once, () => push(path, words, options));
    case "pop":
      return pop(path, number, options);
    case "take":
      return take(path, words, number, options.as);
    case "hand":
      return report(options, () => hand(path));
    case "release":
      return report(once, () => release(path));
    case "purge":
      return report(once, () => purge(path));
    default: {
      const [to] = words;
      if (to === undefined || words.length > 1)
        throw new Failure(`${what} takes the path of another queue`, Status.usage);
      expectQueue(to, options.create);
      if (isSame(path, to)) throw new Failure(`${to} is ${path} itself`, Status.usage);
      const act = what === "move" ? move : copy;
      return report(once, () => act(path, to, number, options.create));
    }
  }
}
