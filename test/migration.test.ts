// docs/migrating-from-emmap.md leaves nothing out, and names nothing that there isn't.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { BlockStorage, Counters, MappedFile, Queue } from "../src";

const root = join(__dirname, "..");
const read = (name: string): string => readFileSync(join(root, name), "utf8");
const page = read("docs/migrating-from-emmap.md");

const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] as string);

/** The page's text from a heading up to the next one of its level. */
function section(title: string): string {
  const found = new RegExp(`^## ${title}\n(.*?)^## `, "ms").exec(page)?.[1];
  if (found === undefined) throw new Error(`there is no section "${title}"`);
  return found;
}

/** The cells of one column of all tables. */
const column = (text: string, index: number): string =>
  text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split(/(?<!\\)\|/)[index])
    .join("\n");

describe("functions", () => {
  /** What a module exports for others than its own application. */
  const exported = (module: string): string[] => {
    const source = read(`erlang/src/${module}.erl`);
    const hidden = all(source, /^\?DOC\(false\)\.\n-spec (\w+)\(/gm);
    expect(hidden.length).toBeGreaterThan(0);
    const names = all(source, /^-export\(\[(.*?)\]\)\./gms).flatMap((list) => all(list, /(\w+\/\d+)/g));
    return names.filter((name) => name !== "open_kind/3" || !hidden.includes("open_kind"));
  };
  const names = [...exported("emmap"), ...exported("emmap_queue")];
  const listed = all(column(section("Functions"), 1), /`(\w+\/\d+)`/g);

  test("every one that Erlang exports is listed", () => {
    expect(names.length).toBeGreaterThan(80);
    expect(names.filter((name) => !listed.includes(name))).toEqual([]);
  });

  test("every one that is listed is exported", () => {
    expect(listed.filter((name) => !names.includes(name))).toEqual([]);
  });

  test.each([
    ["file", MappedFile],
    ["counters", Counters],
    ["queue", Queue],
    ["blocks", BlockStorage],
  ])("what TypeScript is said to have in %s is there", (name, { prototype }) => {
    const members = all(column(section("Functions"), 3), new RegExp(`\\b${name}\\.(\\w+)`, "g"));
    expect(members.length).toBeGreaterThan(5);
    // Fields that only an instance has.
    const fields = ["length", "blockSize", "levels", "capacity"];
    expect(members.filter((member) => !(member in prototype) && !fields.includes(member))).toEqual([]);
  });
});

describe("options", () => {
  const erlang = all(column(section("Options"), 1), /`\{?(\w+)/g);
  const typescript = all(column(section("Options"), 2), /`(\w+)`/g);

  test("every one that the core takes is listed", () => {
    const source = read("native/core/options.c");
    const names = [...all(source, /\{"(\w+)", EMMAP_OPEN_/g), ...all(source, /strcmp\(name, "(\w+)"\)/g)];
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !erlang.includes(name))).toEqual([]);
  });

  test("every one that Erlang's types have is listed", () => {
    const types = ["emmap", "emmap_queue"].map(
      (module) => /^-type open_option\(\) ::(.*?)\.$/ms.exec(read(`erlang/src/${module}.erl`))?.[1] as string,
    );
    const names = all(types.join("\n"), /\b(?<!:)([a-z]\w*)\b(?!\(|:)/g);
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !erlang.includes(name))).toEqual([]);
  });

  test("every one that TypeScript's types have is listed", () => {
    const entry = join(root, "src/index.ts");
    const program = ts.createProgram([entry], { strict: true, module: ts.ModuleKind.NodeNext });
    const checker = program.getTypeChecker();
    const module = checker.getSymbolAtLocation(program.getSourceFile(entry) as ts.SourceFile) as ts.Symbol;
    const names = checker
      .getExportsOfModule(module)
      .filter(({ name }) => name.endsWith("Options"))
      .flatMap((symbol) => checker.getDeclaredTypeOfSymbol(checker.getAliasedSymbol(symbol)).getProperties())
      .map(({ name }) => name);
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !typescript.includes(name))).toEqual([]);
  });
});
