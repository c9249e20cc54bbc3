export type { Bytes, Integer } from "./arguments";
export { Counters, openCounters } from "./counters";
export { EmmapError } from "./error";
export { type Advice, type AtomicOperation, MappedFile, open, type Whence } from "./file";
export type { CountersOptions, OpenOptions } from "./options";
