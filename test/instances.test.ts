// Several instances of the package in one process: two installed copies, and modules that are evaluated again, as
// test runners and development servers do.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freshPath } from "./support/files";

const root = join(__dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "emmap-instances-"));

beforeAll(() => {
  for (const name of ["a", "b"])
    for (const part of ["package.json", "dist", "prebuilds"])
      cpSync(join(root, part), join(folder, name, part), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The JSON that a program prints at its end. `path` is a new file's. */
function answer(program: string): unknown {
  const code = `
    "use strict";
    const path = ${JSON.stringify(freshPath())};
    const load = (name, part = "") => require(${JSON.stringify(folder)} + "/" + name + "/dist" + part);
    const thrown = (action) => { try { action(); } catch (error) { return error; } throw new Error("nothing was thrown"); };
    (async () => { ${program} })().then((answer) => console.log(JSON.stringify(answer)));`;
  const file = join(mkdtempSync(join(folder, "program-")), "program.cjs");
  writeFileSync(file, code);
  return JSON.parse(execFileSync(process.execPath, ["--expose-gc", file], { encoding: "utf8" }));
}

describe.each([
  ["of two installed copies", 'const a = load("a"), b = load("b");'],
  [
    "of a module that was evaluated twice",
    `const a = load("a");
     for (const name of Object.keys(require.cache)) if (!name.endsWith(".node")) delete require.cache[name];
     const b = load("a");`,
  ],
  [
    "of a module that was evaluated twice, its addon too",
    'const a = load("a"); for (const name of Object.keys(require.cache)) delete require.cache[name]; const b = load("a");',
  ],
])("errors %s", (_, both) => {
  test("are of the class of the instance that was called", () => {
    const program = `${both}
      const classes = (emmap) => {
        const file = emmap.open(path, { write: true, create: true, size: 64 });
        const errors = [thrown(() => emmap.open(path + "/missing")), thrown(() => file.pread(-1, 1)), thrown(() => file.view(65))];
        const counters = emmap.openCounters(path + ".counters", 1);
        errors.push(thrown(() => counters.get(1)), thrown(() => counters.add(1, 1)));
        file.close();
        errors.push(thrown(() => file.size || file.load(0)));
        return errors.map((error) => Object.getPrototypeOf(error) === emmap.EmmapError.prototype);
      };
      return [...classes(a), ...classes(b), ...classes(a)];`;
    expect(answer(program)).toEqual(Array(18).fill(true));
  });

  test("are of that class where an operation fails in the background, too", () => {
    const program = `${both}
      const rejected = async (emmap) => {
        const file = emmap.open(path, { write: true, create: true, size: 8192 });
        const view = file.view(4096, 1);
        require("node:fs").truncateSync(path, 0);
        view[0]; // meets the fault
        const error = await file.sync().catch((error) => error);
        return Object.getPrototypeOf(error) === emmap.EmmapError.prototype && error.code;
      };
      return [await rejected(a), await rejected(b), await rejected(a)];`;
    expect(answer(program)).toEqual(Array(3).fill("EFAULT"));
  });

  test("are known as emmap's errors by all of them", () => {
    const program = `${both}
      const errors = [a, b].map((emmap) => thrown(() => emmap.open(path)));
      class Special extends a.EmmapError {}
      const special = new Special("special", { code: "EINVAL", operation: "special" });
      const no = [null, undefined, 1, "EmmapError", {}, new Error("other"), Object.create(null)];
      return [
        errors.map((error) => [error instanceof a.EmmapError, error instanceof b.EmmapError, error instanceof Error]),
        errors.map((error) => error instanceof Special),
        [special instanceof Special, special instanceof a.EmmapError, special instanceof b.EmmapError],
        no.map((value) => value instanceof a.EmmapError),
      ];`;
    expect(answer(program)).toEqual([
      [
        [true, true, true],
        [true, true, true],
      ],
      [false, false],
      [true, true, true],
      Array(7).fill(false),
    ]);
  });
});

const TWO_CODECS = 'const a = load("a", "/etf"), b = load("b", "/etf");';

test("errors of the codec are known as such by all copies", () => {
  const program = `${TWO_CODECS}
    const errors = [a, b].map((etf) => thrown(() => etf.decode(Buffer.from([1, 97, 1]))));
    return [errors.map((error) => [error instanceof a.EtfError, error instanceof b.EtfError, error.code]),
      new Error("other") instanceof a.EtfError];`;
  expect(answer(program)).toEqual([
    [
      [true, true, "ETF_VERSION"],
      [true, true, "ETF_VERSION"],
    ],
    false,
  ]);
});

/** One of each class that stands for a term. */
const TERMS = `(etf) => {
  const opaque = (...bytes) => etf.decode(Buffer.from([131, ...bytes]));
  const node = [119, 1, 97];
  return {
    Atom: etf.atom("ok"),
    Tuple: etf.tuple(1, etf.atom("two"), [etf.tuple()]),
    Float: new etf.Float(1),
    ImproperList: new etf.ImproperList([1, etf.atom("x")], etf.atom("tail")),
    BitString: opaque(77, 0, 0, 0, 2, 3, 255, 160),
    Pid: opaque(88, ...node, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1),
    Port: opaque(89, ...node, 0, 0, 0, 1, 0, 0, 0, 1),
    Reference: opaque(90, 0, 1, ...node, 0, 0, 0, 1, 0, 0, 0, 1),
    Fun: opaque(113, ...node, ...node, 97, 1),
    LocalTerm: opaque(121, 1, 2, 3, 4, 5, 6, 7, 8),
  };
}`;

test("the codec encodes terms of another copy as its own", () => {
  const program = `${TWO_CODECS}
    const terms = ${TERMS};
    const others = terms(b);
    const same = ([name, own]) => [name, a.encode(own).equals(a.encode(others[name]))];
    const nested = (term) => name => ({ list: [term[name], { a: term[name] }], map: new Map([[term[name], term[name]]]) });
    const nests = ([name]) => name === "LocalTerm" || a.encode(nested(terms(a))(name)).equals(a.encode(nested(others)(name)));
    const own = Object.entries(terms(a));
    return [own.map(same), own.map(nests)];`;
  const names = ["Atom", "Tuple", "Float", "ImproperList", "BitString"];
  names.push("Pid", "Port", "Reference", "Fun", "LocalTerm");
  expect(answer(program)).toEqual([names.map((name) => [name, true]), names.map(() => true)]);
});

test("instanceof knows terms of another copy, and what is none", () => {
  const program = `${TWO_CODECS}
    const terms = ${TERMS};
    const wrong = [];
    for (const [name, term] of Object.entries(terms(b))) {
      for (const kind of Object.keys(terms(a)))
        if (term instanceof a[kind] !== (kind === name)) wrong.push([name, kind]);
      const opaque = ["Pid", "Port", "Reference", "Fun", "LocalTerm"].includes(name);
      if (term instanceof a.Opaque !== opaque) wrong.push([name, "Opaque"]);
    }
    for (const value of [null, undefined, 1, "ok", {}, [], new Map(), Buffer.alloc(1), new Date()])
      for (const kind of [...Object.keys(terms(a)), "Opaque"]) if (value instanceof a[kind]) wrong.push([String(value), kind]);
    class Pair extends a.Tuple {}
    if (terms(a).Tuple instanceof Pair || !(new Pair([1, 2]) instanceof b.Tuple)) wrong.push("subclass");
    return wrong;`;
  expect(answer(program)).toEqual([]);
});

test("what is no term is still refused", () => {
  const program = `const etf = load("a", "/etf");
    class Own {}
    const values = [new Own(), new Date(), () => {}, Symbol("s"), new Set(), /x/];
    return values.map((value) => thrown(() => etf.encode([value])).code);`;
  expect(answer(program)).toEqual(Array(6).fill("ETF_UNENCODABLE"));
});

test("values of another context are what they look like", () => {
  const program = `const etf = load("a", "/etf");
    const foreign = require("node:vm").runInNewContext('({ list: [1, "a"], map: new Map([["k", 1n]]), bytes: new Uint8Array([1, 2]), object: { b: null } })');
    const own = { list: [1, "a"], map: new Map([["k", 1n]]), bytes: new Uint8Array([1, 2]), object: { b: null } };
    const date = require("node:vm").runInNewContext("new Date(0)");
    const bytes = require("node:vm").runInNewContext("(bytes) => new Uint8Array(bytes)")(etf.encode(own));
    return [etf.encode(own).equals(etf.encode(foreign)), thrown(() => etf.encode(date)).code, etf.encode(etf.decode(bytes)).equals(etf.encode(own))];`;
  expect(answer(program)).toEqual([true, "ETF_UNENCODABLE", true]);
});

test("two copies share a file, and each survives that it is truncated", () => {
  const program = `const copies = [load("a"), load("b"), load("a")];
    const files = copies.map((emmap) => emmap.open(path, { write: true, create: true, size: 1 << 16 }));
    const counters = copies.map((emmap) => emmap.openCounters(path + ".counters", 1));
    for (const each of counters) each.add(0, 1);
    const views = files.map((file) => file.view(32768, 4));
    require("node:fs").truncateSync(path, 4096);
    const bytes = views.map((view) => view[0]);
    return [String(counters[0].get(0)), bytes, files.map((file) => thrown(() => file.pread(32768, 1)).code)];`;
  expect(answer(program)).toEqual(["3", [0, 0, 0], ["EFAULT", "EFAULT", "EFAULT"]]);
});

test.each([
  ["alone", '!name.endsWith(".node")'],
  ["with the addon", "true"],
])("of 300 evaluations of the JavaScript %s all but the last ones are collected", (_, forgets) => {
  const program = `
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    let emmap;
    for (let i = 0; i < 300; i++) {
      for (const name of Object.keys(require.cache)) if (${forgets}) delete require.cache[name];
      module.children.length = 0;
      emmap = load("a");
      const etf = load("a", "/etf");
      registry.register(emmap.EmmapError, undefined);
      emmap.EmmapError.ballast = [new Array(131072).fill(i)];
      emmap.EmmapError.file = emmap.open(path, { write: true, create: true, size: 4096 });
      const counters = emmap.openCounters(path + ".counters", 1);
      counters.add(0, 1);
      const queue = emmap.openQueue(path + ".queue");
      queue.push(etf.tuple(etf.atom("job"), i));
      queue.pop();
      emmap.EmmapError.error = thrown(() => counters.get(9));
      await emmap.EmmapError.file.sync();
      if (i % 2) emmap.EmmapError.file.close();
      if (i % 20 === 0) global.gc();
    }
    for (let round = 0; round < 100 && collected < 280; round++) {
      global.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return [collected >= 250, Math.round(process.memoryUsage().heapUsed / 2 ** 20) < 60];`;
  expect(answer(program)).toEqual([true, true]);
});
