/**
 * Memory-mapped files that Node and BEAM processes open together.
 *
 * {@link openCounters}, {@link openTable}, {@link openQueue}, {@link openBlockStorage}, {@link openCell} and {@link open} open a
 * file. Errors are {@link EmmapError}s.
 *
 * @module emmap
 */
export * from "../../src/index.js";
