// cell.get beside reading a property, and beside decoding the value.
//
//   make && node bench/node/cell.mjs [--quick]

import { join } from "node:path";
import { decode, encode } from "../../dist/etf/index.mjs";
import { openCell } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const records = section("Cells");
const path = join(folder, "cell");
const values = "json";

/** A configuration of 20 KB. */
const value = Object.fromEntries(
  Array.from({ length: 225 }, (_, i) => [
    `service-${i}`,
    { host: `10.0.0.${i % 256}`, port: 8000 + i, on: i % 2 === 0, weight: i / 4 },
  ]),
);
const bytes = Buffer.from(encode(value, { values }));

const writer = openCell(path, { maxBytes: 65_536, raw: true });
writer.publish(bytes);
const cell = openCell(path, { values });
/** Assigned twice: a property that never changed is a constant for the compiler, and nothing is read. */
const holder = { value };
holder.value = cell.get();

const unchanged = race({
  ours(times) {
    for (let i = 0; i < times; i++) kept.value = cell.get();
  },
  property(times) {
    for (let i = 0; i < times; i++) kept.value = holder.value;
  },
});
/** Many, so that little of the time goes into the publish before they read. */
const READERS = 64;
const readers = Array.from({ length: READERS }, () => openCell(path, { values }));
const changed = race({
  ours(times) {
    for (let i = 0; i < times; i++) {
      writer.publish(bytes);
      for (const reader of readers) kept.value = reader.get();
    }
  },
  decoded(times) {
    for (let i = 0; i < times; i++) {
      writer.publish(bytes);
      for (let j = 0; j < READERS; j++) kept.value = decode(bytes, { values });
    }
  },
});
records.ratio("Node cell.get, unchanged", unchanged("ours", "property"), "reading a property", {
  limit: "at most 3",
});
records.ratio(
  `Node cell.get, changed, ${Math.round(bytes.length / 1000)} KB`,
  changed("ours", "decoded"),
  "decoding its bytes",
  {
    limit: "at most 1.1",
  },
);
for (const each of [cell, ...readers]) each.close();
writer.close();
