import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["interop-tests/**/*.test.ts"],
    pool: "forks",
    // Each file starts real runtimes of its own; side by side they would only wait for each other.
    fileParallelism: false,
    testTimeout: 120_000,
  },
});
