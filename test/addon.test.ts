import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { addon } from "../src/addon";

const table = readFileSync(`${__dirname}/../native/include/emmap_operations.h`, "utf8");

/**
 * JavaScript has other operations instead: it creates a file in one call, and decodes messages before it removes them. Numbered
 * pushes are for relays, which run on BEAM.
 */
const WITHOUT = ["blocks_init", "queue_pop_many"];

test("the addon has every operation of the table, under its name", () => {
  const names = [...table.matchAll(/^ {4}X\((\w+),/gm)].map(([, name]) => name as string);
  expect(names.length).toBeGreaterThan(50);
  expect(names.filter((name) => !(name in addon)).sort()).toEqual(WITHOUT);
});
