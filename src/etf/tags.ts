/** The byte that opens every external term. */
export const VERSION = 131;

/**
 * The tag byte of each kind of term, named as in "External Term Format" of the ERTS User's Guide.
 * docs/etf.md says which value each becomes in JavaScript.
 */
// biome-ignore lint/suspicious/noConstEnum: literals in a `switch` become a jump table, imported names do not
export const enum Tag {
  Record = 67,
  NewFloat = 70,
  BitBinary = 77,
  Compressed = 80,
  NewPid = 88,
  NewPort = 89,
  NewerReference = 90,
  SmallInteger = 97,
  Integer = 98,
  Float = 99,
  Atom = 100,
  Reference = 101,
  Port = 102,
  Pid = 103,
  SmallTuple = 104,
  LargeTuple = 105,
  Nil = 106,
  String = 107,
  List = 108,
  Binary = 109,
  SmallBig = 110,
  LargeBig = 111,
  NewFun = 112,
  Export = 113,
  NewReference = 114,
  SmallAtom = 115,
  Map = 116,
  AtomUtf8 = 118,
  SmallAtomUtf8 = 119,
  V4Port = 120,
  Local = 121,
}
