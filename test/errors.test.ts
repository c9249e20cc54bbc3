import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { EmmapError, open, openQueue } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath, patternFile } from "./support/files";

test("an error of the system looks as Node's own does", () => {
  const path = freshPath();
  const error = thrownBy(() => open(path));
  const own = thrownBy(() => readFileSync(path));
  expect(error).toBeInstanceOf(EmmapError);
  expect(error).toBeInstanceOf(Error);
  expect({ ...error }).toEqual({ ...own, operation: "open" });
  expect(error.message).toBe(own.message);
});

test("an error tells what was wrong, where the code alone does not", () => {
  const path = patternFile(16);
  using file = open(path, { write: true });
  const error = thrownBy(() => file.pwrite(15, "ab"));
  expect(error.message).toMatch(new RegExp(`^EINVAL: invalid argument, pwrite '${path}': .+`));
});

test("a code of emmap's own has no errno", () => {
  const path = patternFile(16);
  const file = open(path);
  file.close();
  const error = thrownBy(() => file.load(0));
  expect({ ...error }).toEqual({ code: "EMMAP_CLOSED", operation: "patomic_load", path });
});

test("the stack begins where the operation was called, and the name is in it", () => {
  const error = thrownBy(() => open(freshPath()));
  expect(error.name).toBe("EmmapError");
  expect(inspect(error)).toMatch(/^EmmapError: ENOENT: /);
  expect(error.stack).toMatch(/errors\.test\.ts/);
  expect(error.stack).not.toMatch(/createError/);
});

test("a system call that failed is told apart from what was done with it", () => {
  const error = thrownBy(() => openQueue(freshPath(), { read: true }));
  expect(error).toMatchObject({ code: "ENOENT", syscall: "open", operation: "queue_open" });
  const own = thrownBy(() => openQueue(freshPath(), { size: 8 }));
  expect(own).toMatchObject({ code: "EINVAL", operation: "queue_open" });
  expect(own).not.toHaveProperty("syscall");
});
