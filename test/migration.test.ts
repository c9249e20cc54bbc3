// docs/migrating-from-emmap.md names every function, and no other. It says "the same" and "new" only if the measured answers of
// emmap 2.x agree.
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

/** The text of a column in each row of a table, by the name in the row's first cell. */
function rows(text: string, names: RegExp, index: number): { name: string; said: string }[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split(/(?<!\\)\|/))
    .flatMap((cells) =>
      all(cells[1] ?? "", names).map((name) => ({ name, said: (cells[index] ?? "").trim() })),
    );
}

interface Answer {
  expression: string;
  /** True if the answer has neither an exception nor an error. */
  succeeds: boolean;
  /** True if the answer is meant to differ here, over any backend. */
  differs: boolean;
}

/** Every measured answer of emmap 2.x. */
function measured(): Answer[] {
  const unquoted = (string: string): string => string.replace(/\\(.)/g, "$1");
  const listed = new Set(
    all(read("erlang/test/emmap_2_differences.txt"), /^ {4}\{"((?:[^"\\]|\\.)*)", (?:nif|port|both),/gm).map(
      unquoted,
    ),
  );
  return [...read("erlang/test/emmap_2_answers.txt").matchAll(/^\{"((?:[^"\\]|\\.)*)",\s*(.*)\}\.$/gm)].map(
    ([, quoted, text]) => {
      const expression = unquoted(quoted as string);
      const succeeds = !/'\$raised'|\{error,/.test(text as string);
      return { expression, succeeds, differs: listed.has(expression) };
    },
  );
}

/** The calls in an expression, as function/arity. */
function calls(expression: string): string[] {
  return [...expression.matchAll(/\bemmap(?:_queue)?:(\w+)\(/g)].map((match) => {
    const rest = expression.slice(match.index + match[0].length);
    // Removes text, and then brackets of all kinds; an arrow is no bracket.
    const tokens = rest.matchAll(/"(?:[^"\\]|\\.)*"|->|=>|<<|>>|[([{]|[)\]}]|,|[^\s]/g);
    let depth = 0;
    let commas = 0;
    let empty = true;
    for (const [token] of tokens) {
      if (token === ")" && depth === 0) break;
      empty = false;
      if (/^(?:<<|[([{])$/.test(token)) depth++;
      else if (/^(?:>>|[)\]}])$/.test(token)) depth--;
      else if (token === "," && depth === 0) commas++;
    }
    return `${match[1]}/${empty ? 0 : commas + 1}`;
  });
}

const answers = measured();
const succeeding = answers.filter(({ succeeds }) => succeeds);
const same = succeeding.filter(({ differs }) => !differs);

test("the answers are all read", () => {
  expect(answers.length).toBe(680);
  expect(succeeding.length).toBe(482);
  expect(calls('emmap:f(A, [<<"),(">> || _ <- emmap_queue:g()], fun(B, C) -> {B, C} end)')).toEqual([
    "f/3",
    "g/0",
  ]);
});

describe("functions", () => {
  /** The exports of a module. */
  const exported = (module: string): string[] => {
    const source = read(`erlang/src/${module}.erl`);
    return all(source, /^-export\(\[(.*?)\]\)\./gms).flatMap((list) => all(list, /(\w+\/\d+)/g));
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

  const said = rows(section("Functions"), /`(\w+\/\d+)`/g, 2);
  const having = (lines: Answer[]): Set<string> =>
    new Set(lines.flatMap(({ expression }) => calls(expression)));

  test("calls that the page lists as the same have answered the same", () => {
    const names = said.filter(({ said }) => said.startsWith("the same")).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !having(same).has(name))).toEqual([]);
  });

  test("calls that the page lists as new succeed nowhere on emmap 2.x", () => {
    const names = said.filter(({ said }) => said.startsWith("new")).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(25);
    expect(names.filter((name) => having(succeeding).has(name))).toEqual([]);
  });

  test("the others are neither", () => {
    const others = said.filter(({ said }) => !/^(?:the same|new)\b/.test(said)).map(({ name }) => name);
    const server = ["init/1", "handle_call/3", "handle_cast/2", "handle_info/2", "terminate/2"];
    expect(others).toEqual(["init/0", ...server]);
  });

  test.each([
    ["file", MappedFile],
    ["counters", Counters],
    ["queue", Queue],
    ["blocks", BlockStorage],
  ])("what TypeScript is said to have in %s is there", (name, { prototype }) => {
    const members = all(column(section("Functions"), 3), new RegExp(`\\b${name}\\.(\\w+)`, "g"));
    expect(members.length).toBeGreaterThan(5);
    // Only an instance has these fields.
    const fields = ["length", "blockSize", "levels", "capacity"];
    expect(members.filter((member) => !(member in prototype) && !fields.includes(member))).toEqual([]);
  });
});

describe("options", () => {
  const erlang = all(column(section("Options"), 1), /`\{?(\w+)/g);
  const typescript = all(column(section("Options"), 2), /`(\w+)`/g);

  test("every one that the core takes is listed", () => {
    const source = read("native/core/options.c");
    // Backends use these for files whose size may change; they are no options for users.
    const internal = ["keep_size", "exact"];
    const names = [
      ...all(source, /\{"(\w+)", EMMAP_OPEN_/g),
      ...all(source, /strcmp\(name, "(\w+)"\)/g),
    ].filter((name) => !internal.includes(name));
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

  // The name of an option, with braces if it has a value.
  const said = rows(section("Options"), /`\{?(\w+)/g, 3);
  const given = (lines: Answer[], name: string): boolean =>
    lines.some(({ expression }) =>
      all(expression, /(\[[^[\]]*\])\)/g).some((list) => new RegExp(`[[{ ]${name}[\\], ]`).test(list)),
    );

  test("options that are the same were given where emmap 2.x answers the same", () => {
    const names = said.filter(({ said }) => said.startsWith("the same")).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !given(same, name))).toEqual([]);
  });

  test("options that are new were given nowhere on emmap 2.x with success", () => {
    const names = said.filter(({ said }) => said.startsWith("new")).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(8);
    expect(names.filter((name) => given(succeeding, name))).toEqual([]);
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

test("the page counts the answers and the differences", () => {
  const entries = all(
    read("erlang/test/emmap_2_differences.txt"),
    /^ {4}\{"(?:[^"\\]|\\.)*", (nif|port|both),/gm,
  );
  const differing = (backend: string): number =>
    entries.filter((where) => where === "both" || where === backend).length;
  const numbers = [answers.length, succeeding.length, differing("nif"), differing("port")];
  const text = page.replace(/\s+/g, " ");
  const counts =
    /to (\d+) expressions .* Of the (\d+) that succeed there, all but (\d+) .* all but (\d+) over the port/;
  expect(counts.exec(text)?.slice(1).map(Number)).toEqual(numbers);
});

test("the differences that are measured are the listed ones", () => {
  const titles = all(read("erlang/test/emmap_2_differences.txt"), /^\{"((?:[^"\\]|\\.)*)", "/gm);
  expect(titles.length).toBeGreaterThan(3);
  const marked = page.split("\n").filter((line) => /^\| .*¹/.test(line));
  expect(marked.map((line) => line.split("|")[1]?.trim())).toEqual(titles);
});

test("every link within the page leads somewhere", () => {
  const slug = (title: string): string =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-");
  const anchors = all(page, /^#+ (.*)$/gm).map(slug);
  const links = all(page, /\]\(#([^)]*)\)/g);
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((link) => !anchors.includes(link))).toEqual([]);
});
