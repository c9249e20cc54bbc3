// What the users of a shared queue or storage agree on; queue_user.escript and storage_user.escript have the same.

/** Counters: how many users are there; how many messages have been popped. */
export const ARRIVED = 0;
export const POPPED = 1;

/** Messages are of different sizes: so many bytes beside the numbers. */
export const fillerSize = (number) => number % 61;

/** Each user pushes so many messages more than it pops, until it has pushed all. */
export const LEAD = 1000;

/** A block is its owner and a number, 32 bits each. */
export const BLOCK_SIZE = 8;

/** So many blocks are kept by each user; older ones are freed. */
export const KEPT = 300;
