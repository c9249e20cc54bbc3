// Bundled applications, with the package as an external and with the package in the bundle, and executables made from them.
// Native code stays outside. If it is not found, the error tells how to mend that.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  emptyFolder,
  failure,
  freshFolder,
  installBeside,
  installNpm,
  packNpm,
  root,
  run,
} from "./support/user";

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

const webpack =
  (more: object = {}): Bundler =>
  (bundle, external) => {
    const options = {
      context: user,
      mode: "production",
      target: "node",
      entry: "./src/app.js",
      output: { path: join(bundle, ".."), filename: basename(bundle) },
      externals: external ? { emmap: "commonjs emmap", "emmap/etf": "commonjs emmap/etf" } : {},
      ...more,
    };
    const code = `require(${JSON.stringify(join(modules, "webpack"))})(${JSON.stringify(options)}, (error, stats) => {
    if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
  })`;
    run(process.execPath, ["-e", code], user);
  };

const rollup: Bundler = (bundle, external) => {
  const plugin = (name: string): string => `require(${JSON.stringify(join(modules, "@rollup", name))})`;
  const code = `const { rollup } = require(${JSON.stringify(join(modules, "rollup"))});
    rollup({
      input: "src/app.js",
      external: [/^node:/, ...${external ? "[/^emmap/]" : "[]"}],
      plugins: [${plugin("plugin-node-resolve")}.nodeResolve(), ${plugin("plugin-commonjs")}()],
    }).then((made) => made.write({ file: ${JSON.stringify(bundle)}, format: "es" }));`;
  run(process.execPath, ["-e", code], user);
};

const vite: Bundler = (bundle, external) => {
  const options = {
    root: user,
    logLevel: "error",
    build: {
      ssr: "src/app.js",
      outDir: join(bundle, ".."),
      emptyOutDir: false,
      rollupOptions: { output: { entryFileNames: basename(bundle) } },
    },
    ssr: external ? {} : { noExternal: true },
  };
  const path = join(root, "node_modules/vite/dist/node/index.js");
  const code = `import(${JSON.stringify(path)}).then(({ build }) => build(${JSON.stringify(options)}))`;
  run(process.execPath, ["-e", code], user);
};

const bun = (): string => join(modules, "@oven/bun-linux-x64-baseline/bin/bun");

const bunBundler: Bundler = (bundle, external) => {
  const options = external ? ["--external=emmap", "--external=emmap/etf"] : [];
  run(bun(), ["build", "--target=node", "src/app.js", `--outfile=${bundle}`, ...options], user);
};

const BUNDLERS = [
  ["esbuild into an ECMAScript module", esbuild("esm"), "app.mjs"],
  ["esbuild into a CommonJS module", esbuild("cjs"), "app.cjs"],
  ["webpack", webpack(), "app.cjs"],
  ["webpack for development", webpack({ mode: "development", devtool: "source-map" }), "app.cjs"],
  ["webpack, which replaces __dirname,", webpack({ node: { __dirname: true, __filename: true } }), "app.cjs"],
  ["rollup", rollup, "app.mjs"],
  ["Vite", vite, "app.mjs"],
  ["Bun", bunBundler, "app.mjs"],
] as const;

test.each(BUNDLERS)(
  "an application that %s bundled works with the package as an external",
  (_, bundler, name) => {
    const bundle = join(mkdtempSync(join(user, "external-")), name);
    bundler(bundle, true);
    expect(run(process.execPath, [bundle], freshFolder())).toBe("5\n");
  },
);

/** The application's error about missing native code, in a folder with its own parts in `place`. */
function lacks(folder: string, place: string, program: string, args: string[]): void {
  const error = /^(?:error: |Error: )(.*)$/m.exec(failure(program, args, folder))?.[1];
  const path = join(place, "prebuilds", `${process.platform}-${process.arch}`, "emmap.node");
  expect(error).toContain(
    `${path} is missing: this code was bundled without it: copy the package's prebuilds there`,
  );
}

function putAddonInto(place: string): void {
  cpSync(join(user, "node_modules/emmap/prebuilds"), join(place, "prebuilds"), { recursive: true });
}

describe.each(BUNDLERS)("where %s bundled the package too", (_, bundler, name) => {
  let made: string;
  beforeAll(() => {
    made = mkdtempSync(join(user, "whole-"));
    bundler(join(made, name), false);
  });

  /** The bundle in a folder without installed packages, as bundles are deployed. */
  function deployed(): string {
    const folder = realpathSync(freshFolder());
    cpSync(made, join(folder, "app"), { recursive: true });
    // Native code that is not beside the bundle does not belong to the application.
    for (const place of [".", "dist", "node_modules/emmap"]) plantTrap(join(folder, place));
    return folder;
  }

  test("and left the addon behind, the error says which file is missing and what to do", () => {
    const folder = deployed();
    lacks(folder, join(folder, "app"), process.execPath, [`app/${name}`]);
  });

  test("it works where the addon was put beside the bundle", () => {
    const folder = deployed();
    putAddonInto(join(folder, "app"));
    expect(run(process.execPath, [`app/${name}`], folder)).toBe("5\n");
  });

  test("it refuses an addon of another release", () => {
    const folder = deployed();
    putAddonInto(join(folder, "app"));
    const bundle = join(folder, "app", name);
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const code = readFileSync(bundle, "utf8");
    expect(code).toContain(`"${version}"`);
    writeFileSync(bundle, code.replaceAll(`"${version}"`, '"99.0.0"'));
    expect(failure(process.execPath, [bundle], folder)).toContain(
      `emmap.node can't be loaded: its version of emmap is ${version}, and that of the JavaScript is `,
    );
  });

  test("it works where the package is installed above the bundle", () => {
    const folder = realpathSync(freshFolder());
    cpSync(made, join(folder, "server/app"), { recursive: true });
    cpSync(join(user, "node_modules"), join(folder, "node_modules"), { recursive: true });
    expect(run(process.execPath, [join(folder, `server/app/${name}`)], freshFolder())).toBe("5\n");
  });
});

/** A broken addon, which shows whether the package looks in this place. */
function plantTrap(folder: string): void {
  const addon = join(folder, "prebuilds", `${process.platform}-${process.arch}`, "emmap.node");
  mkdirSync(join(addon, ".."), { recursive: true });
  writeFileSync(addon, "no library");
}

describe.each([
  [
    "Node's single executables",
    (executable: string): void => {
      const bundle = join(user, "sea/app.cjs");
      esbuild("cjs")(bundle, false);
      const blob = join(user, "sea/blob");
      const config = { main: bundle, output: blob, disableExperimentalSEAWarning: true };
      writeFileSync(join(user, "sea/config.json"), JSON.stringify(config));
      run(process.execPath, ["--experimental-sea-config", "sea/config.json"], user);
      copyFileSync(process.execPath, executable);
      chmodSync(executable, 0o755);
      const fuse = ["--sentinel-fuse", "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2"];
      const inject = [join(modules, "postject/dist/cli.js"), executable, "NODE_SEA_BLOB", blob, ...fuse];
      run(process.execPath, inject, user);
      // The executable would look there if it used the paths of the bundling machine.
      putAddonInto(join(user, "sea"));
    },
  ],
  [
    "bun build --compile",
    (executable: string): void => {
      run(bun(), ["build", "--compile", "src/app.js", `--outfile=${executable}`], user);
    },
  ],
])("an executable of %s", (_, make) => {
  let made: string;
  beforeAll(() => {
    made = join(mkdtempSync(join(user, "executable-")), "app");
    make(made);
  });

  function deployed(): string {
    const folder = realpathSync(freshFolder());
    mkdirSync(join(folder, "bin"));
    copyFileSync(made, join(folder, "bin/app"));
    plantTrap(folder);
    return folder;
  }

  test("says which file is missing beside it, and what to do", () => {
    const folder = deployed();
    lacks(folder, join(folder, "bin"), join(folder, "bin/app"), []);
  });

  test("works where the addon was put beside it", () => {
    const folder = deployed();
    putAddonInto(join(folder, "bin"));
    expect(run(join(folder, "bin/app"), [], folder)).toBe("5\n");
  });
});
