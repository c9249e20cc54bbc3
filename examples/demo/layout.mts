// Which counter of the demo's file means what, and how long a block is; beam.escript has the same numbers.
export const TOTAL = 0;
export const BEAM = 1;
export const NODE = 2;
export const ARRIVED = 3;
export const FINISHED = 4;
export const COUNTERS = 5;

export const BLOCK_SIZE = 32;
