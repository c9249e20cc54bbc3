// Finds the end of a term that is kept as bytes. Every count is checked: each term takes at least one byte of those
// that are left.

import { atomFromLatin1, atomFromUtf8 } from "./atoms.js";
import { u8, u16, u32 } from "./bytes.js";
import { type EtfError, etfError } from "./errors.js";
import { Tag } from "./tags.js";
import { FUN_HEADER, RECORD_HEADER } from "./terms.js";

/** The most words of a reference in OTP. */
const MAX_REFERENCE_WORDS = 5;

export function truncated(pos: number, what: string): EtfError {
  return etfError("ETF_TRUNCATED", `the bytes end inside ${what}`, pos);
}

/** The end of the pid, port, reference, fun or native record at `pos`. */
export function opaqueEnd(bytes: Buffer, pos: number, limit: number): number {
  let end: number;
  switch (u8(bytes, pos)) {
    case Tag.NewPid:
      end = atomEnd(bytes, pos + 1, limit) + 12;
      break;
    case Tag.Pid:
      end = atomEnd(bytes, pos + 1, limit) + 9;
      break;
    case Tag.V4Port:
      end = atomEnd(bytes, pos + 1, limit) + 12;
      break;
    case Tag.NewPort:
      end = atomEnd(bytes, pos + 1, limit) + 8;
      break;
    case Tag.Port:
    case Tag.Reference:
      end = atomEnd(bytes, pos + 1, limit) + 5;
      break;
    case Tag.NewReference:
      end = referenceIds(bytes, pos, limit) + 1;
      break;
    case Tag.NewerReference:
      end = referenceIds(bytes, pos, limit) + 4;
      break;
    case Tag.Export:
      end = integerEnd(bytes, atomEnd(bytes, atomEnd(bytes, pos + 1, limit), limit), limit);
      break;
    case Tag.Record:
      end = recordEnd(bytes, pos, limit);
      break;
    default:
      end = funEnd(bytes, pos, limit);
  }
  if (end > limit) throw truncated(pos, "an identifier");
  return end;
}

/** The end of the reference at `pos`, without its creation. */
function referenceIds(bytes: Buffer, pos: number, limit: number): number {
  if (limit - pos < 3) throw truncated(pos, "a reference");
  const words = u16(bytes, pos + 1);
  if (words > MAX_REFERENCE_WORDS) {
    throw etfError(
      "ETF_MALFORMED",
      `a reference has at most ${MAX_REFERENCE_WORDS} words, not ${words}`,
      pos,
    );
  }
  return atomEnd(bytes, pos + 3, limit) + 4 * words;
}

function funEnd(bytes: Buffer, pos: number, limit: number): number {
  if (limit - pos < FUN_HEADER) throw truncated(pos, "a fun");
  const end = pos + 1 + u32(bytes, pos + 1);
  const free = u32(bytes, pos + FUN_HEADER - 4);
  let at = atomEnd(bytes, pos + FUN_HEADER, limit);
  at = integerEnd(bytes, at, limit);
  at = integerEnd(bytes, at, limit);
  if (at >= limit) throw truncated(pos, "a fun");
  const tag = u8(bytes, at);
  if (tag !== Tag.NewPid && tag !== Tag.Pid)
    throw etfError("ETF_MALFORMED", "the owner of a fun is no pid", at);
  at = termsEnd(bytes, opaqueEnd(bytes, at, limit), limit, free);
  if (at !== end) throw etfError("ETF_MALFORMED", "a fun has another size than it claims", pos);
  return end;
}

/** After the header come the module, the name of the record, and a name and a value for each field. */
function recordEnd(bytes: Buffer, pos: number, limit: number): number {
  if (limit - pos < RECORD_HEADER) throw truncated(pos, "a record");
  const name = atomEnd(bytes, pos + RECORD_HEADER, limit);
  return termsEnd(bytes, atomEnd(bytes, name, limit), limit, 2 * u32(bytes, pos + 1));
}

function atomEnd(bytes: Buffer, pos: number, limit: number): number {
  if (limit - pos < 2) throw truncated(pos, "an atom");
  const tag = u8(bytes, pos);
  let start = pos + 2;
  let end = start + u8(bytes, pos + 1);
  if (tag === Tag.AtomUtf8 || tag === Tag.Atom) {
    if (limit - pos < 3) throw truncated(pos, "an atom");
    start = pos + 3;
    end = start + u16(bytes, pos + 1);
  } else if (tag !== Tag.SmallAtomUtf8 && tag !== Tag.SmallAtom) {
    throw etfError("ETF_MALFORMED", `tag ${tag} where only an atom can be`, pos);
  }
  if (end > limit) throw truncated(pos, "an atom");
  // This checks the name.
  if (tag === Tag.SmallAtomUtf8 || tag === Tag.AtomUtf8) atomFromUtf8(bytes, start, end);
  else atomFromLatin1(bytes, start, end);
  return end;
}

function integerEnd(bytes: Buffer, pos: number, limit: number): number {
  if (pos >= limit) throw truncated(pos, "an integer");
  const tag = u8(bytes, pos);
  if (tag !== Tag.SmallInteger && tag !== Tag.Integer) {
    throw etfError("ETF_MALFORMED", `tag ${tag} where only a small integer can be`, pos);
  }
  const end = pos + (tag === Tag.SmallInteger ? 2 : 5);
  if (end > limit) throw truncated(pos, "an integer");
  return end;
}

/** The end of the last of `count` terms, which begin at `pos`. */
function termsEnd(bytes: Buffer, pos: number, limit: number, count: number): number {
  let at = pos;
  let pending = count;
  const header = (size: number) => {
    if (limit - at < size) throw truncated(at, "a term");
  };
  while (pending > 0) {
    if (pending > limit - at) throw truncated(at, `${pending} terms`);
    pending--;
    switch (u8(bytes, at)) {
      case Tag.Nil:
        at += 1;
        break;
      case Tag.SmallInteger:
        at += 2;
        break;
      case Tag.Integer:
        at += 5;
        break;
      case Tag.NewFloat:
        at += 9;
        break;
      case Tag.Float:
        at += 32;
        break;
      case Tag.SmallAtomUtf8:
      case Tag.SmallAtom:
      case Tag.AtomUtf8:
      case Tag.Atom:
        at = atomEnd(bytes, at, limit);
        break;
      case Tag.String:
        header(3);
        at += 3 + u16(bytes, at + 1);
        break;
      case Tag.Binary:
        header(5);
        at += 5 + u32(bytes, at + 1);
        break;
      case Tag.BitBinary:
        header(6);
        at += 6 + u32(bytes, at + 1);
        break;
      case Tag.SmallBig:
        header(3);
        at += 3 + u8(bytes, at + 1);
        break;
      case Tag.LargeBig:
        header(6);
        at += 6 + u32(bytes, at + 1);
        break;
      case Tag.SmallTuple:
        header(2);
        pending += u8(bytes, at + 1);
        at += 2;
        break;
      case Tag.LargeTuple:
        header(5);
        pending += u32(bytes, at + 1);
        at += 5;
        break;
      case Tag.List:
        header(5);
        pending += u32(bytes, at + 1) + 1;
        at += 5;
        break;
      case Tag.Map:
        header(5);
        pending += 2 * u32(bytes, at + 1);
        at += 5;
        break;
      case Tag.NewFun:
        header(FUN_HEADER);
        pending += 4 + u32(bytes, at + FUN_HEADER - 4);
        at += FUN_HEADER;
        break;
      case Tag.Record:
        header(RECORD_HEADER);
        pending += 2 + 2 * u32(bytes, at + 1);
        at += RECORD_HEADER;
        break;
      case Tag.NewPid:
      case Tag.Pid:
      case Tag.V4Port:
      case Tag.NewPort:
      case Tag.Port:
      case Tag.Reference:
      case Tag.NewReference:
      case Tag.NewerReference:
      case Tag.Export:
        at = opaqueEnd(bytes, at, limit);
        break;
      default:
        throw etfError("ETF_TAG", `no term has tag ${u8(bytes, at)}`, at);
    }
    if (at > limit) throw truncated(limit, "a term");
  }
  return at;
}
