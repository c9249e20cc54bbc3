import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // They have a configuration of their own, and need what `make prebuilds` builds.
    exclude: [...configDefaults.exclude, "test/packages/**"],
    pool: "forks",
    execArgv: ["--expose-gc"],
    testTimeout: 60_000,
    // A condition may take several starts of a process, on a loaded machine.
    expect: { poll: { timeout: 30_000 } },
  },
});
