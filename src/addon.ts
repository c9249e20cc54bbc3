// The functions of the addon, and their types.

import type { InHand } from "./delivery.js";
import { createError, type EmmapErrorCode } from "./error.js";
import { load } from "./load.js";
import type { Writer } from "./open-file.js";

declare const file: unique symbol;
declare const wait: unique symbol;

/** A file of the core, open or closed. Only the addon can look into it. */
export interface NativeFile {
  readonly [file]: true;
}

/** A wait that has begun. */
export interface WaitToken {
  readonly [wait]: true;
}

/** The addon calls this function when a wait has ended, with the core's error: 0 for none. */
export type Settle = (number: number, name: EmmapErrorCode, message: string) => void;

/**
 * The number of bytes that were copied into the room; null: there was no message; negative: so many bytes are needed.
 */
export type Copied = number | null;

/** A string, or bytes that are not UTF-8. */
export type NativePath = string | Buffer;

/** The core's names of options, each followed by its value, or by null for a flag. */
export type NativeOptions = (string | bigint | null)[];

/** The state of an open file in the core. */
export interface Description {
  readonly path: string;
  readonly existed: boolean;
  readonly writable: boolean;
  readonly offset: number;
  readonly size: number;
  /** The number of counters; 0 for another kind of file. */
  readonly counters: number;
}

/** A key of a table: a string is taken as UTF-8. */
export type Key = string | Uint8Array;

type Act = (file: NativeFile) => void;
type Measure = (file: NativeFile) => number;
type Ask = (file: NativeFile) => boolean;
type Take = (file: NativeFile, room: Uint8Array) => Copied;
type Ticket<Number> = (file: NativeFile, ticket: Number) => void;
type Load = (file: NativeFile, place: bigint) => bigint;
type Update = (file: NativeFile, place: bigint, value: bigint) => bigint;
type CompareExchange = (file: NativeFile, place: bigint, expected: bigint, replacement: bigint) => bigint;
type Notify = (file: NativeFile, place: bigint, count: bigint) => number;
/** Returns a token that cancels the wait. If the wait is over at once, returns the core's error, and does not call `settle`. */
type Wait = (
  file: NativeFile,
  place: bigint,
  expected: bigint,
  timeout: bigint,
  settle: Settle,
) => WaitToken | number;

/**
 * The operations have the names that they have in the core (native/include/emmap.h). A file is their first argument,
 * and not the object that they are called on, because to find the file behind an object takes Node-API 100 ns. Every
 * 64-bit number is a bigint from -2^63 to 2^64-1. A failure is thrown.
 */
interface Addon {
  /** The package's version when the addon was built. */
  version: string;

  open(path: NativePath, options: NativeOptions): NativeFile;
  counters_open(path: NativePath, options: NativeOptions, count: bigint): NativeFile;
  queue_open(path: NativePath, options: NativeOptions): NativeFile;
  blocks_open(path: NativePath, options: NativeOptions, blockSize: bigint, levels: bigint): NativeFile;
  cell_open(path: NativePath, options: NativeOptions, maxBytes: bigint): NativeFile;
  table_open(
    path: NativePath,
    options: NativeOptions,
    capacity: bigint,
    keyBytes: bigint,
    words: bigint,
  ): NativeFile;
  close: Act;
  /** Looks at a file from outside. The facts have the core's names. Only texts are strings that others may have written. */
  inspect(path: NativePath, effort: "brief" | "count" | "check"): object;

  describe(file: NativeFile): Description;
  /** The words of emmap_file_control; undefined if the runtime has no ArrayBuffers over foreign memory. */
  file_control(file: NativeFile): ArrayBuffer | undefined;
  /**
   * An ArrayBuffer over the mapping, which ends where the mapping ends; undefined as for `file_control`. `shown`: the
   * user's code gets the ArrayBuffer.
   */
  pread_direct(file: NativeFile, position: bigint, length: bigint, shown: boolean): ArrayBuffer | undefined;
  /** Empties an ArrayBuffer of `file_control` or `pread_direct`. */
  revoke(buffer: ArrayBuffer): void;
  /** Says that the memory of such an ArrayBuffer is about to move to another one. */
  moved(buffer: ArrayBuffer): void;

  size: Measure;
  pread(file: NativeFile, position: bigint, length: bigint): Buffer | null;
  read(file: NativeFile, length: bigint): Buffer | null;
  read_line(file: NativeFile): Buffer | null;
  pwrite(file: NativeFile, position: bigint, bytes: Uint8Array): void;
  write(file: NativeFile, bytes: Uint8Array): void;
  position(file: NativeFile, offset: bigint, whence: number): number;
  resize(file: NativeFile, size: bigint): number;
  follow: Measure;
  truncate: Act;
  allocate(file: NativeFile, position: bigint, length: bigint): void;
  advise(file: NativeFile, position: bigint, length: bigint, advice: number): void;
  flush: Act;
  sync(file: NativeFile): Promise<void>;
  datasync(file: NativeFile): Promise<void>;
  backup(file: NativeFile, to: NativePath): Promise<void>;
  is_current: Ask;
  writers(file: NativeFile): (Omit<Writer, "since"> & { since: number })[];

  patomic_add: Update;
  patomic_sub: Update;
  patomic_and: Update;
  patomic_or: Update;
  patomic_xor: Update;
  patomic_exchange: Update;
  patomic_compare_exchange: CompareExchange;
  patomic_load: Load;
  patomic_store(file: NativeFile, position: bigint, value: bigint): void;
  notify: Notify;
  wait: Wait;

  counter_add: Update;
  counter_sub: Update;
  counter_set: Update;
  counter_get: Load;
  counter_compare_exchange: CompareExchange;
  counter_notify: Notify;
  counter_wait: Wait;

  queue_push(file: NativeFile, message: Uint8Array): void;
  queue_push_many(file: NativeFile, messages: Uint8Array[]): void;
  /** `origin` has 16 bytes, `number` is from 0 to 2^63-1. */
  queue_push_once(file: NativeFile, origin: Uint8Array, number: bigint, messages: Uint8Array[]): bigint;
  queue_peek_front: Take;
  queue_peek_back: Take;
  /**
   * As `queue_peek_front`, but it may read without the lock: the message is certain only once `queue_remove` takes it.
   */
  queue_glance_front: Take;
  /** Removes this message if it is the first one. False: it is not. */
  queue_remove(file: NativeFile, message: Uint8Array): boolean;
  /** As `queue_remove`, for the first `count` of the packed messages. */
  queue_remove_many(file: NativeFile, packed: Uint8Array[], skip: bigint, count: bigint): boolean;
  /**
   * Removes the first message if `room` begins with it; -1: it is another one. Then copies the next message into `room`, as
   * `queue_glance_front` does, and returns its length; 0: no message was copied.
   */
  queue_shift(file: NativeFile, room: Uint8Array, length: number): number;
  queue_pop_begin(file: NativeFile, room: Uint8Array, ticket: BigUint64Array): Copied;
  queue_pop_commit: Ticket<bigint>;
  queue_pop_abort: Ticket<bigint>;
  /** `delivery` gets the ticket and the number of the attempt. */
  queue_take(file: NativeFile, room: Uint8Array, delivery: Float64Array): Copied;
  queue_order: Load;
  queue_ack: Ticket<number>;
  queue_release(file: NativeFile, ticket: number, delay: bigint): void;
  queue_put_back: Ticket<number>;
  queue_release_all: Measure;
  queue_repair: Measure;
  queue_in_hand(file: NativeFile): (Omit<InHand, "since" | "due"> & { since: number; due: number })[];
  /**
   * Copies packed messages, as many as `room` can hold. `state[0]` and `state[3]` are the low and the high 32 bits of
   * the place where the walk goes on, in and out. Out are also `state[1]`, the number of messages, and `state[2]`, 1 if
   * the room was full before the limit was reached.
   */
  queue_walk(
    file: NativeFile,
    backward: boolean,
    limit: bigint,
    state: Float64Array,
    room: Uint8Array,
  ): Copied;
  queue_length: Measure;
  queue_is_empty: Ask;
  queue_info(file: NativeFile): { size: number; head: number; tail: number; nextTail: number };
  queue_purge: Act;
  queue_erase: Act;
  queue_compact: Measure;
  /** As `wait`, for a message. It is over at once, with EAGAIN, if there is one. */
  queue_wait(file: NativeFile, timeout: bigint, watches: boolean, settle: Settle): WaitToken | number;
  /**
   * A descriptor that becomes readable when a wait with `watches` is woken. The caller closes it. Null: the queue has
   * none, or can't be waited for.
   */
  queue_wait_descriptor(file: NativeFile): number | null;

  block_store(file: NativeFile, block: Uint8Array): number;
  block_store_many(file: NativeFile, blocks: Uint8Array[]): number[];
  block_read(file: NativeFile, address: bigint): Buffer | null;
  block_free(file: NativeFile, address: bigint): boolean;
  block_free_many(file: NativeFile, addresses: bigint[]): boolean;
  /** Packed blocks, and their addresses, from `place[0]` on. */
  blocks_walk(file: NativeFile, limit: bigint, place: BigUint64Array): [Buffer, ...number[]];
  blocks_count: Measure;
  blocks_info(file: NativeFile): { blockSize: number; levels: number; capacity: number };
  /** True: there is more to do, from `place[0]` on. */
  blocks_repair(file: NativeFile, limit: bigint, place: BigUint64Array): boolean;
  blocks_compact: Measure;

  cell_publish(file: NativeFile, value: Uint8Array): void;
  /** `version` gets the version of the value; 0: nothing was published. */
  cell_get(file: NativeFile, room: Uint8Array, version: BigUint64Array): Copied;
  cell_version: Measure;
  cell_wait(file: NativeFile, version: bigint, timeout: bigint, settle: Settle): WaitToken | number;

  table_info(file: NativeFile): { capacity: number; keyBytes: number; words: number };
  table_size: Measure;
  table_repair: Act;
  table_add(file: NativeFile, key: Key, word: number, value: bigint): bigint;
  table_set(file: NativeFile, key: Key, word: number, value: bigint): bigint;
  table_get(file: NativeFile, key: Key, word: number): bigint | undefined;
  table_compare_exchange(
    file: NativeFile,
    key: Key,
    word: number,
    expected: bigint,
    replacement: bigint,
  ): bigint;
  /** False: there was no such key. */
  table_delete(file: NativeFile, key: Key): boolean;
  /** Inserts the key if it is not there. `place` gets the position of its unit, and the generation. */
  table_find(file: NativeFile, key: Key, place: Float64Array): void;
  /** The numbers of all hits of the file, which asks once for them. */
  table_numbers(file: NativeFile): Float64Array;
  /** Takes limit, windowMs, cost and flags from the numbers. Overwrites them with the use, the rest, and the time to the reset. */
  table_hit(file: NativeFile, key: Key): boolean;
  /** Packed entries; null at the end. */
  table_walk(file: NativeFile, limit: bigint, place: BigUint64Array): Buffer | null;

  /** Ends a wait; `settle` is not called. False: the wait has ended already, and calls `settle`. */
  wait_cancel(token: WaitToken): boolean;
  /** As `wait_cancel`, for a wait that was woken: its descriptor became readable. */
  wait_woken(token: WaitToken): boolean;
  /** Sets whether a wait keeps the process alive. */
  wait_ref(token: WaitToken, yes: boolean): void;
  /** Sets whether operations of this thread may block; with `false` they throw ETIMEDOUT or EAGAIN instead. */
  set_may_block(yes: boolean): void;
  /** Makes the errors that the functions throw. They look this function up on the object that they are called on. */
  createError: typeof createError;
}

/** The addon's functions on an object of this module: modules may share the addon, so it keeps no state of theirs. */
export const addon: Addon = { ...(load() as Omit<Addon, "createError">), createError };
