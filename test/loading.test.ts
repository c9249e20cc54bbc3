// The package finds and loads its native code, or tells why it cannot.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = join(__dirname, "..");
const folder = realpathSync(mkdtempSync(join(tmpdir(), "emmap-loading-")));
const installed = join(folder, "node_modules", "emmap");
const addon = join("prebuilds", `${process.platform}-${process.arch}`, "emmap.node");

/** Puts the package into `to`, without the parts that are left out. */
function install(to: string, ...leftOut: string[]): string {
  for (const part of ["package.json", "dist", "prebuilds", "scripts/build-addon.mjs"])
    if (!leftOut.includes(part)) cpSync(join(root, part), join(to, part), { recursive: true });
  return to;
}

beforeAll(() => {
  install(installed);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The output of a program that loads the package: "9", or the error's message. */
function load(
  options: string[],
  { node = process.execPath, cwd = folder, from = installed, first = "" } = {},
) {
  const program = join(folder, "program.cjs");
  writeFileSync(
    program,
    `${first}
     const say = (text) => require("node:fs").writeSync(1, text);
     try { say(Object.keys(require(${JSON.stringify(from)})).includes("open") ? "loaded" : "nothing"); }
     catch (error) { say(error.message); }`,
  );
  return execFileSync(node, [...options, program], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

const PERMISSION = process.allowedNodeEnvironmentFlags.has("--permission")
  ? "--permission"
  : "--experimental-permission";

describe("where native code is forbidden the error says so, and which flag allows it:", () => {
  test("--no-addons", () => {
    expect(load(["--no-addons"])).toBe(
      `emmap can't load its native code, ${join(installed, addon)}: this process may load none; start Node without --no-addons`,
    );
  });

  test(`${PERMISSION}`, () => {
    expect(load([PERMISSION, `--allow-fs-read=${folder}`])).toBe(
      `emmap can't load its native code, ${join(installed, addon)}: this process may load none; start Node with --allow-addons`,
    );
  });

  test(`${PERMISSION}, where it may not even be read`, () => {
    const parts = ["program.cjs", "node_modules/emmap/dist", "node_modules/emmap/package.json"];
    const flags = parts.map((part) => `--allow-fs-read=${join(folder, part)}`);
    expect(load([PERMISSION, "--allow-addons", ...flags])).toMatch(
      /this process may not read it; start Node with --allow-fs-read=\S+emmap\S*prebuilds\S* and --allow-addons$/,
    );
  });
});

test.each([
  ["the addon", addon, 0o600],
  ["its folder", "prebuilds", 0o700],
])("where the user may not read %s the error says so", (_, part, mode) => {
  const from = install(mkdtempSync(join(folder, "unreadable-")));
  chmodSync(folder, 0o755);
  chmodSync(from, 0o755);
  // root reads everything, and another user nothing of its own.
  const isRoot = process.getuid?.() === 0;
  chmodSync(join(from, part), isRoot ? mode : 0);
  const first = isRoot ? "process.setgroups([]); process.setgid(65534); process.setuid(65534);" : "";
  expect(load([], { from, first })).toBe(
    `emmap can't load its native code, ${join(from, addon)}: this user may not read it`,
  );
  chmodSync(join(from, part), 0o700);
});

test("an error of loading has a code", () => {
  const from = install(mkdtempSync(join(folder, "no-addon-")), "prebuilds");
  const code = (options: string[], which: string): string => {
    const program = `try { require(${JSON.stringify(which)}); } catch (error) { console.log(error.code, error.cause?.code); }`;
    return execFileSync(process.execPath, [...options, "-e", program], { encoding: "utf8" }).trim();
  };
  expect(code([], from)).toBe("EMMAP_NOT_LOADED undefined");
  expect(code(["--no-addons"], installed)).toBe("EMMAP_NOT_LOADED ERR_DLOPEN_DISABLED");
});

test("where the package's JavaScript may not be read the error is Node's own", () => {
  const flags = [PERMISSION, "--allow-addons", `--allow-fs-read=${join(folder, "program.cjs")}`];
  expect(load(flags)).toMatch(/^Access to this API has been restricted/);
});

describe("the package loads", () => {
  test("with the permissions that the error names, and no other", () => {
    expect(load([PERMISSION, `--allow-fs-read=${folder}`, "--allow-addons"])).toBe("loaded");
  });

  test("where an upgrade has removed the binary of Node", () => {
    const node = join(folder, "node");
    copyFileSync(process.execPath, node);
    const first = 'require("node:fs").unlinkSync(process.execPath);';
    expect(load([], { node, first })).toBe("loaded");
  });

  test.each([
    ["errors have no stack", [], "Error.stackTraceLimit = 0;"],
    [
      "a program formats stacks itself",
      [],
      'Error.prepareStackTrace = () => "at other (/other/file.js:1:1)";',
    ],
    ["the built-in objects are frozen", ["--frozen-intrinsics"], ""],
    ["stacks show sources", ["--enable-source-maps"], ""],
  ])("where %s", (_, options, first) => {
    expect(load(options, { first })).toBe("loaded");
  });

  test("and leaves errors as they were", () => {
    const after = `${load([], {
      first: 'Error.stackTraceLimit = 3; const own = (Error.prepareStackTrace = () => "own");',
    })}`;
    expect(after).toBe("loaded");
    const program = `Error.stackTraceLimit = 3; const own = (Error.prepareStackTrace = () => "own");
      require(${JSON.stringify(installed)});
      console.log(Error.stackTraceLimit, Error.prepareStackTrace === own);`;
    expect(execFileSync(process.execPath, ["-e", program], { encoding: "utf8" })).toBe("3 true\n");
  });
});

describe("native code in the current folder is not touched", () => {
  /** A folder with a broken addon. If the package looked there, the error would have "can't be loaded". */
  function trap(): string {
    const cwd = mkdtempSync(join(folder, "trap-"));
    for (const place of [".", "dist", "node_modules/emmap", "src"]) {
      mkdirSync(join(cwd, place, addon, ".."), { recursive: true });
      writeFileSync(join(cwd, place, addon), "no library");
    }
    mkdirSync(join(cwd, "scripts"));
    writeFileSync(join(cwd, "scripts/build-addon.mjs"), "");
    return cwd;
  }

  test("where the package has none", () => {
    const from = install(mkdtempSync(join(folder, "without-")), "prebuilds");
    expect(load([], { cwd: trap(), from })).toBe(
      `${join(from, addon)} is missing: emmap brings no addon for this platform; build it with: node ${join(from, "scripts/build-addon.mjs")}`,
    );
  });

  test("where the code does not know its own file", () => {
    const cwd = trap();
    const first = 'Error.prepareStackTrace = () => ""; Object.freeze(Error);';
    const from = install(mkdtempSync(join(folder, "without-")), "prebuilds");
    expect(load([], { cwd, from, first })).toMatch(/^emmap can't tell which file it is in/);
  });
});

test("an addon that can't be loaded is named, with the reason", () => {
  const from = install(mkdtempSync(join(folder, "broken-")), "prebuilds");
  mkdirSync(join(from, addon, ".."), { recursive: true });
  writeFileSync(join(from, addon), "no library");
  expect(load([], { from })).toMatch(
    new RegExp(`^${join(from, addon)} can't be loaded: file too short; to build it for this system: node `),
  );
});

describe("an addon that is there, and can't be loaded, is not called missing:", () => {
  /** Installs the package with an addon that `change` has changed, and tells its bytes and its path. */
  function spoiled(
    name: string,
    change: (path: string, bytes: Buffer) => void,
  ): [from: string, path: string] {
    const from = install(mkdtempSync(join(folder, `${name}-`)));
    const path = join(from, addon);
    change(path, readFileSync(path));
    return [from, path];
  }

  test("one that was cut off", () => {
    const [from, path] = spoiled("cut", (file, bytes) =>
      writeFileSync(file, bytes.subarray(0, bytes.length >> 1)),
    );
    expect(load([], { from })).toMatch(`${path} can't be loaded: the file is cut off; copy it again`);
  });

  test("one for another processor", () => {
    const [from, path] = spoiled("foreign", (file, bytes) => {
      bytes.writeUInt16LE(8, 18);
      writeFileSync(file, bytes);
    });
    expect(load([], { from })).toMatch(
      `${path} can't be loaded: it is for another processor than ${process.arch}`,
    );
  });

  test("a link to itself", () => {
    const [from, path] = spoiled("loop", (file) => {
      rmSync(file);
      symlinkSync(file, file);
    });
    expect(load([], { from })).toMatch(`${path} can't be loaded: ELOOP`);
  });
});
