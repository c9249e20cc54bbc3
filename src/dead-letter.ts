// A dead letter: a message about a message that was given up, with the reason.
import { encode } from "./etf/encode.js";
import type { Term } from "./etf/terms.js";

/** A message that was given up, in the queue for dead letters: see {@link ProcessOptions.deadLetters}. */
export interface DeadLetter<Message> {
  /** The message as it was pushed; its bytes if it is no term, with up to 7 zeros behind them. */
  readonly message: Message;
  /** The error of the last attempt. */
  readonly reason: string;
  /** How often the message was delivered. */
  readonly attempts: number;
  /** The time when it was given up, in milliseconds since 1970. */
  readonly at: number;
}

/** The bytes of the letter: a map whose keys are binaries, whatever the options of either queue are. */
export function deadLetter(message: unknown, error: unknown, attempts: number): Buffer {
  const letter: DeadLetter<unknown> = { message, reason: String(error), attempts, at: Date.now() };
  return encode(letter as unknown as Term);
}
