/**
 * Erlang's external term format: {@link encode} makes bytes of a value, and {@link decode} a value of bytes.
 *
 * @module emmap/etf
 */
export * from "../../src/etf/index.js";
