import { describe, expect, test } from "vitest";
import { EmmapError } from "../src";
import { type Case, prepare, state } from "./support/vectors";
import cases from "./vectors/bad-input.json";

/** The error that the call throws or rejects with. */
async function failureOf(call: () => unknown): Promise<Error & Record<string, unknown>> {
  let result: unknown;
  try {
    result = await call();
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error(`nothing was thrown, and ${String(result)} returned`);
}

describe("bad input is a typed error, and leaves the file as it was", () => {
  test.each(cases as Case[])("$name", async (test) => {
    const { path, call } = prepare(test);
    const before = state(path);
    const error = await failureOf(call);
    expect(error).toHaveProperty("code", test.expected.node);
    expect(state(path)).toBe(before);
    if (test.expected.node === "ERR_OUT_OF_RANGE") expect(error).toBeInstanceOf(RangeError);
    else if (test.expected.node.startsWith("ERR_")) expect(error).toBeInstanceOf(TypeError);
    else expect(error).toBeInstanceOf(EmmapError);
  });
});
