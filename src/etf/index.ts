export { Atom, atom } from "./atoms.js";
export { decode, decodePrefix, type Prefix } from "./decode.js";
export type { Decoded, DecodeOptions, Json } from "./decode-options.js";
export { encode } from "./encode.js";
export type { EncodeOptions } from "./encode-options.js";
export { EtfError, type EtfErrorCode } from "./errors.js";
export {
  BitString,
  Float,
  Fun,
  ImproperList,
  LocalTerm,
  NativeRecord,
  Opaque,
  Pid,
  type PlainObject,
  Port,
  Reference,
  type Term,
  Tuple,
  tuple,
} from "./terms.js";
