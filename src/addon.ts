// Finds and loads the addon, and says what is in it.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { createError } from "./error";

/** The core's file. Every 64-bit number is a bigint from -2^63 to 2^64-1; failures are thrown. */
export interface NativeFile {
  describe(): {
    path: string;
    existed: boolean;
    writable: boolean;
    offset: number;
    size: number;
    counters: number;
  };
  /** The words of emmap_file_control; undefined where there are no external buffers. */
  control(): ArrayBuffer | undefined;
  /** A buffer over the mapping, cut at its end; undefined as above. `shown`: user code will have it. */
  lend(position: bigint, length: bigint, shown: boolean): ArrayBuffer | undefined;
  close(): void;
  size(): number;
  pread(position: bigint, length: bigint): Buffer | null;
  read(length: bigint): Buffer | null;
  readLine(): Buffer | null;
  pwrite(position: bigint, bytes: Uint8Array): void;
  write(bytes: Uint8Array): void;
  position(offset: bigint, whence: number): number;
  resize(size: bigint): number;
  follow(): number;
  truncate(): void;
  allocate(position: bigint, length: bigint): void;
  advise(position: bigint, length: bigint, advice: number): void;
  flush(): void;
  sync(): Promise<void>;
  datasync(): Promise<void>;
  patomicAdd(position: bigint, value: bigint): bigint;
  patomicSub(position: bigint, value: bigint): bigint;
  patomicAnd(position: bigint, value: bigint): bigint;
  patomicOr(position: bigint, value: bigint): bigint;
  patomicXor(position: bigint, value: bigint): bigint;
  patomicExchange(position: bigint, value: bigint): bigint;
  patomicCompareExchange(position: bigint, expected: bigint, replacement: bigint): bigint;
  patomicLoad(position: bigint): bigint;
  patomicStore(position: bigint, value: bigint): void;
  counterAdd(index: bigint, value: bigint): bigint;
  counterSub(index: bigint, value: bigint): bigint;
  counterSet(index: bigint, value: bigint): bigint;
  counterGet(index: bigint): bigint;
  counterCompareExchange(index: bigint, expected: bigint, replacement: bigint): bigint;
  queuePush(message: Uint8Array): void;
  queuePushMany(messages: Uint8Array[]): void;
  queuePop(scratch: Uint8Array): Message;
  queuePopMany(limit: bigint): Buffer[];
  queuePopBegin(scratch: Uint8Array, ticket: BigUint64Array): Message;
  queuePopCommit(ticket: bigint): void;
  queuePopAbort(ticket: bigint): void;
  queuePeekFront(scratch: Uint8Array): Message;
  queuePeekBack(scratch: Uint8Array): Message;
  /** From `place[0]` on; puts there where the next call goes on. */
  queueWalk(backward: boolean, limit: bigint, place: BigUint64Array): Buffer[];
  queueLength(): number;
  queueIsEmpty(): boolean;
  queueInfo(): { size: number; head: number; tail: number; nextTail: number };
  queuePurge(): void;
  queueErase(): void;
  blockStore(block: Uint8Array): number;
  blockStoreMany(blocks: Uint8Array[]): number[];
  blockRead(address: bigint): Buffer | null;
  blockFree(address: bigint): boolean;
  blockFreeMany(addresses: bigint[]): boolean;
  /** Addresses and blocks in turn, from `place[0]` on. */
  blocksWalk(limit: bigint, place: BigUint64Array): (number | Buffer)[];
  blocksCount(): number;
  blocksInfo(): { blockSize: number; levels: number; capacity: number };
  /** True while there is more to do, from `place[0]` on. */
  blocksRepair(limit: bigint, place: BigUint64Array): boolean;
}

/** A message: its length where the scratch buffer has it, itself where it was too long for that; null for none. */
export type Message = number | Buffer | null;

/** The core's operations that open a file, and the numbers of their own that they take. */
type Opener =
  | [operation: "open", path: string, options: NativeOptions]
  | [operation: "counters_open", path: string, options: NativeOptions, count: bigint]
  | [operation: "queue_open", path: string, options: NativeOptions]
  | [operation: "blocks_open", path: string, options: NativeOptions, blockSize: bigint, levels: bigint];

/** The core's names of options, each followed by its value, or null for a flag. */
export type NativeOptions = (string | bigint | null)[];

interface Addon {
  File: new (...opener: Opener) => NativeFile;
  revoke(buffer: ArrayBuffer): void;
  moved(buffer: ArrayBuffer): void;
  setErrorFactory(factory: typeof createError): void;
}

function isMusl(): boolean {
  const report = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return report.header.glibcVersionRuntime === undefined;
}

function load(): Addon {
  const prebuilds = resolve(__dirname, "..", "prebuilds");
  const platform = `${process.platform}-${process.arch}`;
  const musl = join(prebuilds, `${platform}-musl`, "emmap.node");
  // The report takes milliseconds: it is only asked where its answer matters.
  const path = existsSync(musl) && isMusl() ? musl : join(prebuilds, platform, "emmap.node");
  if (!existsSync(path)) {
    const build = join(resolve(__dirname, ".."), "scripts", "build-addon.mjs");
    throw new Error(`emmap has no addon for this platform: ${path} is missing. Build it with: node ${build}`);
  }
  return require(path) as Addon;
}

export const { File, revoke, moved, setErrorFactory } = load();
