export type { Bytes, Integer } from "./arguments";
export { BlockStorage, type BlockStorageOptions, openBlockStorage } from "./blocks";
export { Counters, openCounters } from "./counters";
export { EmmapError } from "./error";
export { type Advice, type AtomicOperation, MappedFile, open, type Whence } from "./file";
export type { CountersOptions, OpenOptions, StructureOptions } from "./options";
export { openQueue, Queue, type QueueInfo, type QueueOptions, type RawQueueOptions } from "./queue";
export type { Structure } from "./structure";
