// The numbers of the demo's counters, and the length of a block. beam.escript has the same.
export const TOTAL = 0;
export const BEAM = 1;
export const NODE = 2;
export const ARRIVED = 3;
export const FINISHED = 4;
export const COUNTERS = 5;

export const BLOCK_SIZE = 32;
