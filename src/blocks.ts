import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Bytes, type Integer, toArray, toBigInt, toBytes, typeError } from "./arguments.js";
import { OpenFile } from "./open-file.js";
import { type Opened, openFile } from "./opening.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { unpack } from "./packed.js";

/** How to open a block storage. */
export interface BlockStorageOptions extends StructureOptions {
  /** Bytes of every block: from 1 to 2^32 - 1. A new storage needs it; for an existing one the file says it. */
  blockSize?: Integer | undefined;
  /**
   * A new storage can have 64 to the power of `levels` blocks: from 2 to 5, and 3 if not given. For an existing storage
   * the file says it.
   */
  levels?: number | undefined;
}

/** The most blocks that an iteration copies at a time. */
const STRIDE = 64;

/** About the most bytes that it copies at a time: a loop that ends early has copied few blocks too many. */
const STRIDE_SIZE = 65_536;

let create: (opened: Opened) => BlockStorage;

/**
 * A storage of blocks of one size, in a file that threads, processes and runtimes share. {@link openBlockStorage} makes
 * one. Storing a block returns an address, by which every process finds the block until it is freed. Iterating gives pairs
 * of address and block.
 *
 * Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, `EFAULT` after another process has
 * truncated the file, `EMMAP_CORRUPT` if the file is damaged, and `EACCES` if it would change a read-only file. A
 * method that finds no block checks, at most once a second, whether the path still means the file, and throws `ESTALE`
 * if not (see the option `follow`, and {@link reopen}); {@link sync} does so too. Other errors stand at each method.
 */
export class BlockStorage extends OpenFile {
  /** @internal */
  protected override readonly native: NativeFile;
  /** Bytes of every block. */
  readonly blockSize: number;
  /** Levels of the tree that finds blocks. */
  readonly levels: number;
  /** The most blocks that the storage can have: 64 to the power of `levels`. */
  readonly capacity: number;

  private constructor(opened: Opened) {
    super(opened, addon.describe(opened.native));
    this.native = opened.native;
    const { blockSize, levels, capacity } = addon.blocks_info(opened.native);
    this.blockSize = blockSize;
    this.levels = levels;
    this.capacity = capacity;
  }

  static {
    create = (opened) => new BlockStorage(opened);
  }

  /** @internal */
  protected override fromOpened(opened: Opened): BlockStorage {
    return new BlockStorage(opened);
  }

  /** The number of blocks. It takes time in proportion to the largest number that there ever was. */
  count(): number {
    return addon.blocks_count(this.native);
  }

  /**
   * Stores a block. When the method returns, the block is in the file.
   * @returns the address of the block
   * @throws EINVAL for a length other than `blockSize`; EMMAP_FULL at capacity or a fixed size; ENOSPC
   */
  store(block: Bytes): number {
    return addon.block_store(this.native, toBytes(block));
  }

  /** Stores all blocks at once, or none, and returns their addresses. Throws as {@link store}. */
  storeMany(blocks: Iterable<Bytes>): number[] {
    return addon.block_store_many(this.native, toArray(blocks, "blocks", toBytes));
  }

  /**
   * Returns a copy of the block; null if there is no block at this address.
   * @throws ENOMEM if there is no memory for it
   */
  read(address: Integer): Buffer | null {
    return addon.block_read(this.native, toBigInt(address, "address"));
  }

  /** Frees a block. Its address may be used again. Returns false if there is no block at this address. */
  free(address: Integer): boolean {
    return addon.block_free(this.native, toBigInt(address, "address"));
  }

  /**
   * Frees all blocks at once. If an address has no block or comes twice it frees none, and returns false.
   */
  freeMany(addresses: Iterable<Integer>): boolean {
    return addon.block_free_many(
      this.native,
      toArray(addresses, "addresses", (address) => toBigInt(address, "address")),
    );
  }

  /**
   * Iterates over addresses and blocks, in their order in the file. A block that is stored or freed meanwhile may come
   * or not; every other block comes once.
   *
   * Up to 64 blocks of together 64 KiB share an ArrayBuffer. `postMessage` and `structuredClone` would copy all of it:
   * send the result of {@link read} instead.
   */
  *entries(): Generator<[address: number, block: Buffer], void, undefined> {
    const place = new BigUint64Array(1);
    const limit = BigInt(Math.min(STRIDE, Math.ceil(STRIDE_SIZE / this.blockSize)));
    for (;;) {
      const [packed, ...addresses] = addon.blocks_walk(this.native, limit, place);
      if (addresses.length === 0) return;
      const blocks = unpack(packed);
      for (const [i, address] of addresses.entries()) yield [address, blocks[i] as Buffer];
    }
  }

  /** The same as {@link entries}. */
  [Symbol.iterator](): Generator<[address: number, block: Buffer], void, undefined> {
    return this.entries();
  }

  /**
   * Computes the tree again from its lowest level, which records the existing blocks. An interrupted operation needs no
   * repair: use it for a file that something else has damaged.
   */
  repair(): void {
    addon.blocks_repair(this.native, 0n, new BigUint64Array(1));
  }

  /**
   * As {@link repair}, but each step of the generator handles `blocks` blocks, rounded up to a multiple of 4096. The
   * storage may be used between two steps. A negative number is EINVAL.
   *
   * ```ts
   * for (const _ of blocks.repairInSteps()) await setImmediate();
   * ```
   */
  *repairInSteps(blocks: Integer = 4096): Generator<void, void, undefined> {
    const place = new BigUint64Array(1);
    const limit = toBigInt(blocks, "blocks");
    while (addon.blocks_repair(this.native, limit === 0n ? 1n : limit, place)) yield;
  }

  /**
   * Gives the disk space of pages with nothing but free blocks back to the file system. The file keeps its size and
   * gets holes; a store reserves space again. Freeing does this by itself when 4 MiB and a quarter of the storage, or
   * all of it, have been freed, unless the file has a fixed size.
   * @returns the number of bytes that it gave back
   * @throws ENOTSUP if the file system cannot have holes
   */
  compact(): number {
    return addon.blocks_compact(this.native);
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, blockSize, levels, capacity, closed } = this;
    return `BlockStorage ${inspect({ path, blockSize, levels, capacity, ...(closed && { closed }) }, options)}`;
  }
}

/**
 * Opens a block storage, or creates one.
 *
 * ```ts
 * using blocks = openBlockStorage("blocks.bin", { blockSize: 64 });
 * const address = blocks.store(Buffer.alloc(64));
 * blocks.read(address);
 * ```
 *
 * @throws {EmmapError} as {@link open}; EINVAL for a storage with another block size or number of levels, and for a new
 * one without a block size; EMMAP_CORRUPT for a file that is no storage, or a damaged one, which stays as it was
 */
export function openBlockStorage(path: PathLike, options: BlockStorageOptions = {}): BlockStorage {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const { blockSize = 0, levels = 0, ...rest } = options;
  const opened = openFile([
    "blocks_open",
    toPath(path),
    structureOptions(rest, "block storages", ["blockSize", "levels"]),
    toBigInt(blockSize, "options.blockSize"),
    toBigInt(levels, "options.levels"),
  ]);
  return create(opened);
}
