// The numbers that the users of a shared queue or storage agree on. queue_user.escript and storage_user.escript repeat them.

/** Counters: the users that have arrived; the popped messages. */
export const ARRIVED = 0;
export const POPPED = 1;

/** Messages have different sizes: this many bytes beside the numbers. */
export const fillerSize = (number) => number % 61;

/** Each user stays this many pushes ahead of its pops, until it has pushed all. */
export const LEAD = 1000;

/** A block is its owner and a number, 32 bits each. */
export const BLOCK_SIZE = 8;

/** Each user keeps this many blocks, and frees older ones. */
export const KEPT = 300;
