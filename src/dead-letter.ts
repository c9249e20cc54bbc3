// A dead letter: a message about a message that was given up, with the reason.
import { inspect } from "node:util";
import { encode } from "./etf/encode.js";
import type { Term } from "./etf/terms.js";

/** A message that was given up, in the queue for dead letters: see {@link ProcessOptions.deadLetters}. */
export interface DeadLetter<Message> {
  /** The message as it was pushed; its bytes if it is no term, with up to 7 zeros behind them. */
  readonly message: Message;
  /** The error of the last attempt as a text of about 4096 characters at most. */
  readonly reason: string;
  /** How often the message was delivered. */
  readonly attempts: number;
  /** The time when it was given up, in milliseconds since 1970. */
  readonly at: number;
}

/** Erlang's consumers cut reasons at the same length. */
const MAX_REASON = 4096;

/** An unpaired surrogate has no bytes in UTF-8. It becomes U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text).toString();

function shortened(text: string): string {
  // A character has one or two code units.
  const characters = [...text.slice(0, 2 * MAX_REASON + 1)];
  return characters.length > MAX_REASON ? `${characters.slice(0, MAX_REASON - 3).join("")}...` : text;
}

/** The text of a value that the user's code has thrown. Never throws. */
export function reasonOf(error: unknown): string {
  for (const show of [String, inspect]) {
    try {
      return wellFormed(shortened(show(error)));
    } catch {
      // An object without a prototype has no text, and methods of the error may throw.
    }
  }
  return "an error without a text";
}

/** The bytes of the letter: a map whose keys are binaries, whatever the options of either queue are. */
export function deadLetter(message: unknown, error: unknown, attempts: number): Buffer {
  const letter: DeadLetter<unknown> = { message, reason: reasonOf(error), attempts, at: Date.now() };
  return encode(letter as unknown as Term);
}
