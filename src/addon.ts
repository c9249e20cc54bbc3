// What is in the addon.
import { createError, type EmmapErrorCode } from "./error.js";
import { load } from "./load.js";

declare const file: unique symbol;
declare const wait: unique symbol;

/** A file of the core, open or closed, which only the addon can look into. */
export interface NativeFile {
  readonly [file]: true;
}

/** A wait that goes on. */
export interface WaitToken {
  readonly [wait]: true;
}

/** Is called when a wait has ended, with the core's error: 0 for none. */
export type Settle = (number: number, name: EmmapErrorCode, message: string) => void;

/**
 * The addon's functions. A file is an argument, and not what a method is called on, because a Node-API class costs 100 ns
 * a call to look it up. Every 64-bit number is a bigint from -2^63 to 2^64-1; failures are thrown.
 */
interface Addon {
  /** Of the package that it was built for. */
  version: string;
  open(...opener: Opener): NativeFile;
  describe(file: NativeFile): {
    path: string;
    existed: boolean;
    writable: boolean;
    offset: number;
    size: number;
    counters: number;
  };
  /** The words of emmap_file_control; undefined where there are no external buffers. */
  control(file: NativeFile): ArrayBuffer | undefined;
  /** A buffer over the mapping, cut at its end; undefined as above. `shown`: user code will have it. */
  lend(file: NativeFile, position: bigint, length: bigint, shown: boolean): ArrayBuffer | undefined;
  close(file: NativeFile): void;
  size(file: NativeFile): number;
  pread(file: NativeFile, position: bigint, length: bigint): Buffer | null;
  read(file: NativeFile, length: bigint): Buffer | null;
  readLine(file: NativeFile): Buffer | null;
  pwrite(file: NativeFile, position: bigint, bytes: Uint8Array): void;
  write(file: NativeFile, bytes: Uint8Array): void;
  position(file: NativeFile, offset: bigint, whence: number): number;
  resize(file: NativeFile, size: bigint): number;
  follow(file: NativeFile): number;
  truncate(file: NativeFile): void;
  allocate(file: NativeFile, position: bigint, length: bigint): void;
  advise(file: NativeFile, position: bigint, length: bigint, advice: number): void;
  flush(file: NativeFile): void;
  sync(file: NativeFile): Promise<void>;
  datasync(file: NativeFile): Promise<void>;
  backup(file: NativeFile, to: NativePath): Promise<void>;
  isCurrent(file: NativeFile): boolean;
  patomicAdd(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicSub(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicAnd(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicOr(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicXor(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicExchange(file: NativeFile, position: bigint, value: bigint): bigint;
  patomicCompareExchange(file: NativeFile, position: bigint, expected: bigint, replacement: bigint): bigint;
  patomicLoad(file: NativeFile, position: bigint): bigint;
  patomicStore(file: NativeFile, position: bigint, value: bigint): void;
  counterAdd(file: NativeFile, index: bigint, value: bigint): bigint;
  counterSub(file: NativeFile, index: bigint, value: bigint): bigint;
  counterSet(file: NativeFile, index: bigint, value: bigint): bigint;
  counterGet(file: NativeFile, index: bigint): bigint;
  counterCompareExchange(file: NativeFile, index: bigint, expected: bigint, replacement: bigint): bigint;
  /** Something to cancel it by. A number: it is over at once, and settle is not called with it. */
  wait(
    file: NativeFile,
    position: bigint,
    expected: bigint,
    timeout: bigint,
    settle: Settle,
  ): WaitToken | number;
  counterWait(
    file: NativeFile,
    index: bigint,
    expected: bigint,
    timeout: bigint,
    settle: Settle,
  ): WaitToken | number;
  /** As wait. It is over at once also where there is a message: EAGAIN. */
  queueWait(file: NativeFile, timeout: bigint, settle: Settle): WaitToken | number;
  /** True: settle will not be called. */
  cancelWait(token: WaitToken): boolean;
  /** Whether a wait that goes on keeps the process alive. */
  refWait(token: WaitToken, yes: boolean): void;
  /** Whether operations of this thread may wait for locks; those that may not are ETIMEDOUT then, or EAGAIN. */
  mayWait(yes: boolean): void;
  notify(file: NativeFile, position: bigint, count: bigint): number;
  counterNotify(file: NativeFile, index: bigint, count: bigint): number;
  queuePush(file: NativeFile, message: Uint8Array): void;
  queuePushMany(file: NativeFile, messages: Uint8Array[]): void;
  /** As `queuePeekFront`, maybe without the lock: what it answers is a message for certain only if `queueRemove` takes it. */
  queueGlanceFront(file: NativeFile, room: Uint8Array): Copied;
  /** Removes the first message if it is this; false where it is not. */
  queueRemove(file: NativeFile, message: Uint8Array): boolean;
  /**
   * Removes the first message if it is the one that `room` begins with; -1 where it is not. Then the room gets the next one:
   * its length, or 0 where that can't be. It is as one of `queueGlanceFront`.
   */
  queueTake(file: NativeFile, room: Uint8Array, length: number): number;
  /** As `queueRemove` for the first `count` messages that are packed. */
  queueRemoveMany(file: NativeFile, packed: Uint8Array, count: bigint): boolean;
  queuePopBegin(file: NativeFile, room: Uint8Array, ticket: BigUint64Array): Copied;
  queuePopCommit(file: NativeFile, ticket: bigint): void;
  queuePopAbort(file: NativeFile, ticket: bigint): void;
  queuePeekFront(file: NativeFile, room: Uint8Array): Copied;
  queuePeekBack(file: NativeFile, room: Uint8Array): Copied;
  /**
   * Packed, as many as there is room for, from a place on, whose low 32 bits are `state[0]` and whose others are
   * `state[3]`. Puts there where the next call goes on, into `state[1]` how many there are, and into `state[2]` 1 if there
   * was no room for more.
   */
  queueWalk(
    file: NativeFile,
    backward: boolean,
    limit: bigint,
    state: Float64Array,
    room: Uint8Array,
  ): Copied;
  queueLength(file: NativeFile): number;
  queueIsEmpty(file: NativeFile): boolean;
  queueInfo(file: NativeFile): { size: number; head: number; tail: number; nextTail: number };
  queuePurge(file: NativeFile): void;
  queueErase(file: NativeFile): void;
  queueCompact(file: NativeFile): number;
  blockStore(file: NativeFile, block: Uint8Array): number;
  blockStoreMany(file: NativeFile, blocks: Uint8Array[]): number[];
  blockRead(file: NativeFile, address: bigint): Buffer | null;
  blockFree(file: NativeFile, address: bigint): boolean;
  blockFreeMany(file: NativeFile, addresses: bigint[]): boolean;
  /** The blocks, packed, from `place[0]` on, and their addresses. */
  blocksWalk(file: NativeFile, limit: bigint, place: BigUint64Array): [Buffer, ...number[]];
  blocksCount(file: NativeFile): number;
  blocksInfo(file: NativeFile): { blockSize: number; levels: number; capacity: number };
  /** True while there is more to do, from `place[0]` on. */
  blocksRepair(file: NativeFile, limit: bigint, place: BigUint64Array): boolean;
  blocksCompact(file: NativeFile): number;
  revoke(buffer: ArrayBuffer): void;
  moved(buffer: ArrayBuffer): void;
  /** What the functions make their errors with. They look for it on what they are called on: on this object, always. */
  createError: typeof createError;
}

/** How many bytes were copied into the room; null: there was no message; below 0: so many are needed, and none were. */
export type Copied = number | null;

/** The core's operations that open a file, and the numbers of their own that they take. */
export type Opener =
  | [operation: "open", path: NativePath, options: NativeOptions]
  | [operation: "counters_open", path: NativePath, options: NativeOptions, count: bigint]
  | [operation: "queue_open", path: NativePath, options: NativeOptions]
  | [operation: "blocks_open", path: NativePath, options: NativeOptions, blockSize: bigint, levels: bigint];

/** Bytes where they are no UTF-8. */
export type NativePath = string | Buffer;

/** The core's names of options, each followed by its value, or null for a flag. */
export type NativeOptions = (string | bigint | null)[];

/** The addon's functions on an object of this module's own: the addon itself may be shared, and keeps nothing of it. */
export const addon: Addon = { ...(load() as Omit<Addon, "createError">), createError };
