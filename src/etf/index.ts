export { Atom, atom } from "./atoms.js";
export { type Decoded, type DecodeOptions, decode, decodePrefix, type Json, type Prefix } from "./decode.js";
export { type EncodeOptions, encode } from "./encode.js";
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
