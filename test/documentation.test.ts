// Every exported name has a text, and every link of the pages leads somewhere.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

type Named = [name: string, symbol: ts.Symbol];

/** The symbol and its visible members, which are neither private nor internal. */
function* visible(symbol: ts.Symbol, checker: ts.TypeChecker): Generator<Named> {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  yield [target.name, target];
  for (const member of [...(target.members?.values() ?? []), ...(target.exports?.values() ?? [])]) {
    const [declaration] = member.declarations ?? [];
    if (declaration === undefined || ts.isTypeParameterDeclaration(declaration)) continue;
    const modifiers = ts.getCombinedModifierFlags(declaration);
    const name = ts.getNameOfDeclaration(declaration);
    if (modifiers & ts.ModifierFlags.Private || (name && ts.isPrivateIdentifier(name))) continue;
    if (member.name !== "prototype") yield [`${target.name}.${member.name}`, member];
  }
}

test.each(["index.ts", "etf/index.ts"])("of %s everything is documented", (name) => {
  const entry = join(__dirname, "../src", name);
  const program = ts.createProgram([entry], { strict: true, module: ts.ModuleKind.NodeNext });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry) as ts.SourceFile) as ts.Symbol;
  const symbols = checker.getExportsOfModule(module).flatMap((symbol) => [...visible(symbol, checker)]);
  expect(symbols.length).toBeGreaterThan(20);
  const undocumented = symbols.filter(
    ([, symbol]) =>
      symbol.getDocumentationComment(checker).length === 0 &&
      !symbol.getJsDocTags(checker).some(({ name }) => name === "internal"),
  );
  expect(undocumented.map(([name]) => name)).toEqual([]);
});

/** All pages of the repository, without those of other packages. */
function* pages(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !OTHERS.has(entry.name)) yield* pages(path);
    else if (entry.name.endsWith(".md")) yield path;
  }
}
/** The README's links begin with this, because a package has no other pages. */
const REPOSITORY = "https://github.com/emmap/emmap/blob/main/";
const OTHERS = new Set(["node_modules", "build", "_build", "dist", ".git"]);
const root = join(__dirname, "..");

/** The anchors of a page's headings, as code-hosting pages make them. */
function anchors(page: string): string[] {
  const headings = [...withoutCode(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) => title as string);
  return headings.map((title) =>
    title
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

const withoutCode = (page: string): string => page.replace(/^( *)```.*?^\1```/gms, "");

test.each([...pages(root)].map((path) => relative(root, path)))("the links in %s lead somewhere", (name) => {
  const page = withoutCode(readFileSync(join(root, name), "utf8"));
  const targets = [...page.matchAll(/\]\(([^()\s]+)\)/g), ...page.matchAll(/(?:src|srcset|href)="([^"]+)"/g)]
    .map(([, target]) => target as string)
    .filter((target) => target.startsWith(REPOSITORY) || !/^[a-z]+:/.test(target));
  const broken = targets.filter((target) => {
    const [path, anchor] = target.replace(REPOSITORY, "").split("#") as [string, string?];
    const folder = target.startsWith(REPOSITORY) ? root : join(root, dirname(name));
    const file = path === "" ? join(root, name) : join(folder, path);
    if (!existsSync(file)) return true;
    return anchor !== undefined && !anchors(readFileSync(file, "utf8")).includes(anchor);
  });
  expect(broken).toEqual([]);
});
