// Everything that is exported says what it is.
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

type Named = [name: string, symbol: ts.Symbol];

/** What a user of the symbol can see: itself, and its members that are neither private nor internal. */
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
