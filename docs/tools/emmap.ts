/**
 * Memory-mapped files that Node and BEAM processes open together.
 *
 * {@link openCounters}, {@link openQueue}, {@link openBlockStorage} and {@link open} open a file. Errors are {@link EmmapError}s.
 *
 * @module emmap
 */
export * from "../../src/index.js";
