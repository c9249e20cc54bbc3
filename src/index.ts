export type { Bytes, Integer } from "./arguments.js";
export { BlockStorage, type BlockStorageOptions, openBlockStorage } from "./blocks.js";
export { Counters, openCounters } from "./counters.js";
export { EmmapError, type EmmapErrorCode } from "./error.js";
export {
  type Advice,
  MappedFile,
  open,
  type ViewOptions,
  type Whence,
} from "./file.js";
export type { CountersOptions, OpenOptions, StructureOptions } from "./options.js";
export {
  EMPTY,
  type JsonQueueOptions,
  openQueue,
  Queue,
  type QueueInfo,
  type QueueOptions,
  type RawQueueOptions,
} from "./queue.js";
export type { Structure } from "./structure.js";
export type { WaitOptions, WaitResult } from "./wait.js";
