import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // They have a configuration of their own, and need what `make prebuilds` builds.
    exclude: [...configDefaults.exclude, "test/packages/**"],
    pool: "forks",
    execArgv: ["--expose-gc"],
    testTimeout: 60_000,
  },
});
