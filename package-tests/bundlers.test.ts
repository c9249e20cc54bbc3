// Applications that are bundled: the package stays outside, as native code has to; where it does not, the error says
// what to do.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { emptyFolder, failure, freshFolder, installBeside, installNpm, packNpm, run } from "./support/user";

const user = emptyFolder();
afterAll(() => rmSync(user, { recursive: true, force: true }));
let modules: string;

beforeAll(() => {
  installNpm(packNpm(user).filename, user);
  modules = installBeside("bundlers", "--ignore-scripts");
  mkdirSync(join(user, "src"));
  writeFileSync(join(user, "src/greeting.js"), 'export const name = "counters.bin";');
  writeFileSync(
    join(user, "src/app.js"),
    `import { openCounters } from "emmap";
     import { decode, encode } from "emmap/etf";
     import { name } from "./greeting.js";
     const counters = openCounters(name, 2);
     counters.add(1, decode(encode(5)));
     console.log(String(counters.get(1)));
     counters.close();`,
  );
});

type Bundler = (bundle: string, external: boolean) => void;

const esbuild =
  (format: "esm" | "cjs"): Bundler =>
  (bundle, external) => {
    const options = {
      absWorkingDir: user,
      entryPoints: ["src/app.js"],
      bundle: true,
      platform: "node",
      format,
      outfile: bundle,
      external: external ? ["emmap"] : [],
    };
    const code = `require(${JSON.stringify(join(modules, "esbuild"))}).buildSync(${JSON.stringify(options)})`;
    run(process.execPath, ["-e", code], user);
  };

const webpack: Bundler = (bundle, external) => {
  const options = {
    context: user,
    mode: "production",
    target: "node",
    entry: "./src/app.js",
    output: { path: join(bundle, ".."), filename: basename(bundle) },
    externals: external ? { emmap: "commonjs emmap", "emmap/etf": "commonjs emmap/etf" } : {},
  };
  const code = `require(${JSON.stringify(join(modules, "webpack"))})(${JSON.stringify(options)}, (error, stats) => {
    if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
  })`;
  run(process.execPath, ["-e", code], user);
};

test.each([
  ["esbuild into an ECMAScript module", esbuild("esm"), "app.mjs"],
  ["esbuild into a CommonJS module", esbuild("cjs"), "app.cjs"],
  ["webpack", webpack, "app.cjs"],
] as const)("an application that %s bundled works with the package as an external", (_, bundler, name) => {
  const bundle = join(mkdtempSync(join(user, "external-")), name);
  bundler(bundle, true);
  expect(run(process.execPath, [bundle], freshFolder())).toBe("5\n");
});

describe.each([
  ["esbuild", esbuild("cjs")],
  ["webpack", webpack],
] as const)("where %s bundled the package too", (_, bundler) => {
  /** The bundle in a folder where nothing is installed, as bundles are deployed. */
  function deployed(): string {
    const bundle = join(mkdtempSync(join(user, "whole-")), "app.cjs");
    bundler(bundle, false);
    const folder = freshFolder();
    cpSync(join(bundle, ".."), join(folder, "dist"), { recursive: true });
    return folder;
  }

  test("and left the addon behind, the error says which file is missing and what to do", () => {
    const folder = deployed();
    const error = /^Error: (.*)$/m.exec(failure(process.execPath, ["dist/app.cjs"], folder))?.[1];
    const path = join(folder, "prebuilds", `${process.platform}-${process.arch}`, "emmap.node");
    expect(error).toContain(`${path} is missing: this code was bundled without it: make emmap an external`);
  });

  test("it works where the addon was put there", () => {
    const folder = deployed();
    cpSync(join(user, "node_modules/emmap/prebuilds"), join(folder, "prebuilds"), { recursive: true });
    expect(run(process.execPath, ["dist/app.cjs"], folder)).toBe("5\n");
  });
});
