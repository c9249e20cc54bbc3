import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon } from "./addon.js";
import { type Bytes, type Integer, toBigInt, toBytes, typeError } from "./arguments.js";
import { type Opened, type Origin, openFile } from "./opening.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { unpack } from "./packed.js";
import { Structure } from "./structure.js";

/** How to open a block storage. */
export interface BlockStorageOptions extends StructureOptions {
  /** Bytes of every block: from 1 to 2^32 - 1. Needed to create a storage; else what the file has. */
  blockSize?: Integer | undefined;
  /**
   * A new storage has 64 to the power of this blocks: from 2 to 5, and 3 if not given. The file says it of a storage
   * that is there.
   */
  levels?: number | undefined;
}

/** How many blocks an iteration takes out of the core at a time, at most. */
const STRIDE = 64;

/** About how many bytes they may be: whoever stops after the first block has copied few others. */
const STRIDE_SIZE = 65_536;

let create: (opened: Opened) => BlockStorage;

/**
 * A storage of blocks of one size, in a file that threads, processes and runtimes share. {@link openBlockStorage} makes
 * one. Storing a block gives an address, by which anybody finds it again until it is freed.
 *
 * Besides what it lists, every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, `EFAULT` when
 * another process truncated the file, `EMMAP_CORRUPT` when the file is not sound, and `EACCES` for a read-only file
 * that would have to be changed. What finds no block looks, once a second at most, whether the path still means the file,
 * and throws `ESTALE` where it does not (see `follow` and {@link reopen}); so does {@link sync}.
 *
 * Iterating gives pairs of address and block.
 */
export class BlockStorage extends Structure {
  readonly #origin: Origin;
  /** Bytes of every block. */
  readonly blockSize: number;
  /** Levels of the tree that finds blocks. */
  readonly levels: number;
  /** The most blocks that there can be: 64 to the power of `levels`. */
  readonly capacity: number;

  private constructor({ native, origin }: Opened) {
    super(native);
    this.#origin = origin;
    const { blockSize, levels, capacity } = addon.blocks_info(native);
    this.blockSize = blockSize;
    this.levels = levels;
    this.capacity = capacity;
  }

  static {
    create = (opened) => new BlockStorage(opened);
  }

  /**
   * Opens the file again as it was opened, and closes this one: after `EFAULT` or `ESTALE`, or to go over to what the path
   * means now. Nothing is created or truncated this time. If the open fails, this storage stays open; but one that is
   * `exclusive` is closed before the open if the path still means it, and one with `autoUnlink` always.
   * @throws as the function that opened it; ENOENT; ENOTSUP for memory without a file
   */
  reopen(): BlockStorage {
    return new BlockStorage(this.#origin.reopen(this));
  }

  /** How many blocks there are. Takes time in proportion to the most that there ever were. */
  count(): number {
    return addon.blocks_count(this.native);
  }

  /**
   * Stores a block. When it has returned the block is in the file.
   * @returns its address
   * @throws EINVAL for a length other than `blockSize`; EMMAP_FULL at capacity or a fixed size; ENOSPC
   */
  store(block: Bytes): number {
    return addon.block_store(this.native, toBytes(block));
  }

  /** Stores all of the blocks, or none of which anybody sees one, and returns their addresses. Throws as {@link store}. */
  storeMany(blocks: Iterable<Bytes>): number[] {
    return addon.block_store_many(this.native, Array.from(blocks, toBytes));
  }

  /**
   * A copy of the block; null if there is none at this address.
   * @throws ENOMEM where there is no memory for it
   */
  read(address: Integer): Buffer | null {
    return addon.block_read(this.native, toBigInt(address, "address"));
  }

  /** Frees a block; its address may be given out again. False if there is none at this address. */
  free(address: Integer): boolean {
    return addon.block_free(this.native, toBigInt(address, "address"));
  }

  /**
   * Frees all of the blocks; or none, and returns false, if one of the addresses has no block or comes twice. Nobody sees
   * a block gone then.
   */
  freeMany(addresses: Iterable<Integer>): boolean {
    return addon.block_free_many(
      this.native,
      Array.from(addresses, (address) => toBigInt(address, "address")),
    );
  }

  /**
   * Addresses and blocks, in the order in which they lie in the file. Blocks that are stored or freed meanwhile are
   * met or not, all others once.
   *
   * Up to 64 blocks, of 64 KiB in all or one that is larger, share an ArrayBuffer, which `postMessage` and
   * `structuredClone` copy as a whole: send what {@link read} answers.
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
   * Makes all that follows from which blocks there are follow from it again. An operation that was interrupted needs
   * no repair: this is for files that something else has damaged.
   */
  repair(): void {
    addon.blocks_repair(this.native, 0n, new BigUint64Array(1));
  }

  /**
   * As {@link repair}, looking at `blocks` blocks for each step of the generator, rounded up to 4096; the storage may be
   * used between two. A negative number is EINVAL.
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
   * Gives the disk space of free blocks back to the file system, as far as whole pages hold nothing else. The file keeps
   * its size, and has holes; a store reserves space again as it needs it. Freeing does the same by itself when 4 MiB and a
   * quarter of the storage have been freed, or all of it, unless it has a fixed size.
   * @returns how many bytes were given back
   * @throws ENOTSUP where the file system can't have holes
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
 * @throws {EmmapError} as {@link open}; EINVAL for a storage with another block size or number of levels, and where one is
 * created without a block size; EMMAP_CORRUPT for a file that is no storage, or a damaged one, which is left as it was
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
