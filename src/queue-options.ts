// How a queue is opened.
import type { DecodeOptions } from "./etf/decode-options.js";
import type { EncodeOptions } from "./etf/encode-options.js";
import type { StructureOptions } from "./options.js";

/** How to open a queue of terms: the file, and how terms are shown and written. */
export interface QueueOptions<O extends DecodeOptions = DecodeOptions> extends StructureOptions {
  /** How terms that are popped are shown: the options of `emmap/etf`'s `decode`. */
  decode?: O | undefined;
  /** How values that are pushed are written: the options of `emmap/etf`'s `encode`. */
  encode?: EncodeOptions | undefined;
  /**
   * The memory that a message's term may take beyond its bytes in the queue, as the option of `emmap/etf`'s `decode` and
   * Erlang's `max_inflated_size`. Default 64 MiB. `push` and `pop` refuse a message that would take more. The limit also
   * holds for all messages of one call together: `popMany` ends before it, and `snapshot` throws.
   */
  maxInflatedSize?: number | undefined;
  /** Messages are terms, which is the default; or JSON: see {@link JsonQueueOptions}. */
  values?: "term" | undefined;
  /** Messages are terms. See {@link RawQueueOptions} for messages of bytes. */
  raw?: false | undefined;
}

/** How to open a queue of JSON. */
export interface JsonQueueOptions extends Omit<QueueOptions<DecodeOptions>, "values"> {
  /**
   * A message comes out as it was pushed: strings as strings, objects as plain objects, `null` as `null`. Properties
   * that `JSON.stringify` leaves out are left out. Erlang sees maps, binaries and `null`. See the options `values` of
   * `emmap/etf`.
   */
  values: "json";
}

/** How to open a queue of bytes. */
export interface RawQueueOptions extends StructureOptions {
  /**
   * Messages are bytes, not terms. The file does not record a message's exact length: unless the length is a multiple of
   * 8, up to 7 zeros follow the message when it comes out.
   */
  raw: true;
}
