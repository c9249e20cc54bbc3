// The package in runtimes other than Node, and in programs that load it again and again.
import { copyFileSync, cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
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

const user = realpathSync(emptyFolder());
const installed = join(user, "node_modules/emmap");
afterAll(() => rmSync(user, { recursive: true, force: true }));
beforeAll(() => {
  installNpm(packNpm(user).filename, user);
  copyFileSync(join(root, "test/packages/support/use.mjs"), join(user, "use.mjs"));
});

describe("Deno", () => {
  const addons = join(installed, "prebuilds", `${process.platform}-${process.arch}`);
  const environment = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_DIR: join(user, "deno") };
  const deno = (): string =>
    join(installBeside("runtimes", "--force", "--ignore-scripts"), "@deno/linux-x64-glibc/deno");
  const loads = ["run", "--no-prompt"];

  beforeAll(() => {
    writeFileSync(join(user, "load.mjs"), 'import { open } from "emmap"; console.log(typeof open);');
  });

  test.each([[[]], [["--allow-read"]], [["--allow-ffi"]]])(
    "that is started with %j says which permissions are missing",
    (permissions) => {
      const message = failure(deno(), [...loads, ...permissions, "load.mjs"], user, environment);
      expect(message).toContain(
        `emmap can't load its native code, ${join(addons, "emmap.node")}: this process may not; start Deno with --allow-ffi and --allow-read=${addons}`,
      );
    },
  );

  test("loads the package with just those", () => {
    const permissions = ["--allow-ffi", `--allow-read=${addons}`];
    expect(run(deno(), [...loads, ...permissions, "load.mjs"], user, environment)).toBe("function\n");
  });

  test("uses all of it", () => {
    const printed = run(deno(), [...loads, "-A", join(user, "use.mjs")], freshFolder(), environment);
    expect(printed).toMatch(/hello hello 0 1 8192 5 499500 7 ENOENT\n$/);
  });
});

describe("Jest", () => {
  const jest = (): string => join(installBeside("jest", "--ignore-scripts"), "jest/bin/jest.js");

  const again = `
    const terms = (etf) => [etf.atom("ok"), etf.tuple(1, etf.atom("two")), new etf.Float(1)];
    test.each([1, 2, 3])("evaluates the package anew, %i", (round) => {
      const first = [require("emmap"), require("emmap/etf")];
      const counters = first[0].openCounters(process.env.FOLDER + "/counters-${"NAME"}", 1);
      counters.add(0, 1);
      jest.resetModules();
      const second = [require("emmap"), require("emmap/etf")];
      expect(second[0].EmmapError).not.toBe(first[0].EmmapError);
      for (const [one, other] of [[first, second], [second, first]]) {
        expect(() => one[0].open("/missing")).toThrow(one[0].EmmapError);
        expect(() => one[0].open("/missing")).toThrow(other[0].EmmapError);
        expect(one[1].encode(terms(other[1]))).toEqual(one[1].encode(terms(one[1])));
        expect(one[0].EMPTY).toBe(other[0].EMPTY);
        const queue = one[0].openQueue(process.env.FOLDER + "/queue-${"NAME"}", { values: "json" });
        queue.push({ at: [new Date(0), { of: Object.create(null) }] });
        expect([queue.pop(), queue.pop(null)]).toEqual([{ at: ["1970-01-01T00:00:00.000Z", { of: {} }] }, null]);
        const plain = new Map([[1, [{ a: new Uint8Array([1, 2]) }]]]);
        const shown = one[1].decode(one[1].encode(plain), { maps: "object" });
        expect(shown).toEqual({ 1: [{ a: Buffer.from([1, 2]) }] });
        queue.close();
      }
      expect(counters.get(0)).toBe(BigInt(round));
      const file = second[0].open(process.env.FOLDER + "/state-${"NAME"}", { write: true, create: true, size: 4096 });
      expect(file.view(0, 4)).toHaveLength(4);
      return file.sync();
    });`;

  test("tests what uses the package, and finds that nothing of it leaks", () => {
    const folder = realpathSync(freshFolder());
    cpSync(join(user, "node_modules"), join(folder, "node_modules"), { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true, "jest": { "testEnvironment": "node" } }');
    mkdirSync(join(folder, "files"));
    for (const name of ["a", "b"])
      writeFileSync(join(folder, `${name}.test.js`), again.replaceAll("NAME", name));
    const options = ["--detectLeaks", "--runInBand", "--no-cache"];
    const environment = { FOLDER: join(folder, "files"), NODE_OPTIONS: "--expose-gc" };
    expect(() => run(process.execPath, [jest(), ...options], folder, environment)).not.toThrow();
  });
});
