// Names everything, so that import finds what require gives: one implementation, one EmmapError, one addon.
export {
  type Advice,
  type AtomicOperation,
  type Bytes,
  Counters,
  type CountersOptions,
  EmmapError,
  type Integer,
  MappedFile,
  type OpenOptions,
  open,
  openCounters,
  type Whence,
} from "./index.js";
