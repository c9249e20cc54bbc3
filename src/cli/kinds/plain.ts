// A file without a format.
import { bytes } from "../text.js";
import type { Kind } from "./kind.js";

export const plain: Kind = {
  name: "plain",
  amount: () => undefined,
  contents: ({ size }) => `${bytes(size)}B`,
  facts: () => [],
};
