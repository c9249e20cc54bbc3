// Fails if modules of a room need each other in a circle: `node scripts/check-circles.mjs ROOM...` prints each circle.
//
// A room is a folder. In C and C++ a module is a source with the header of the same name; it needs the headers that it includes.
// In TypeScript a module is a file; it needs its imports, except imports of types. In Erlang it needs the modules that it calls.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const isFile = (path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

// Removes comments, strings and attributes, which have no calls: a type of another module is no need. $" begins no string.
const bare = (erlang) =>
  erlang.replace(/\$\\?.|%.*|"(?:\\.|[^"\\])*"/g, "").replace(/^-(?!define)\w[\s\S]*?\.\s*$/gm, "");

const LANGUAGES = [
  {
    files: /\.(c|h|cc|hpp)$/,
    module: (path) => path.replace(/\.\w+$/, ""),
    // The compiler searches the including file's folder first, and then the folders that the makefiles name.
    needs: (path, text) =>
      [...text.matchAll(/^\s*#\s*include "(.+?)"/gm)]
        .map(([, name]) =>
          [dirname(path), "native/include", "native/core", "port"].map((folder) => join(folder, name)),
        )
        .map((places) => places.find((place) => isFile(resolve(root, place))))
        .filter((place) => place),
  },
  {
    files: /\.m?ts$/,
    module: (path) => path,
    needs: (path, text) =>
      [...text.matchAll(/^(?:import|export) (?!type )(?:[^;"]*? from )?"(\.[^"]+)"/gm)].map(([, name]) =>
        join(dirname(path), name.replace(/\.js$/, ".ts")),
      ),
  },
  {
    files: /\.erl$/,
    module: (path) => path,
    needs: (path, text) =>
      [...bare(text).matchAll(/\b(?:fun )?([a-z]\w*):[a-z]\w*[(/]/g)].map(([, name]) =>
        join(dirname(path), `${name}.erl`),
      ),
  },
];

function* filesOf(folder) {
  for (const entry of readdirSync(resolve(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile()) yield path;
    else if (entry.isDirectory() && entry.name !== "node_modules" && entry.name !== "build")
      yield* filesOf(path);
  }
}

/** The modules of a room, each with the modules that it needs. */
function graphOf(room) {
  const graph = new Map();
  for (const path of filesOf(room)) {
    const language = LANGUAGES.find(({ files }) => files.test(basename(path)));
    if (!language) continue;
    const module = language.module(path);
    const needs = graph.get(module) ?? new Set();
    graph.set(module, needs);
    for (const needed of language.needs(path, readFileSync(resolve(root, path), "utf8")))
      if (language.module(needed) !== module) needs.add(language.module(needed));
  }
  return graph;
}

/** Groups of modules that all reach each other (R. Tarjan's strongly connected components). */
function circlesOf(graph) {
  const order = new Map();
  const lowest = new Map();
  const stack = [];
  const circles = [];
  function visit(module) {
    order.set(module, order.size);
    lowest.set(module, order.get(module));
    stack.push(module);
    for (const needed of graph.get(module)) {
      if (!graph.has(needed)) continue;
      if (!order.has(needed)) visit(needed);
      if (stack.includes(needed)) lowest.set(module, Math.min(lowest.get(module), lowest.get(needed)));
    }
    if (lowest.get(module) !== order.get(module)) return;
    const circle = stack.splice(stack.indexOf(module));
    if (circle.length > 1) circles.push(circle);
  }
  for (const module of graph.keys()) if (!order.has(module)) visit(module);
  return circles;
}

let found = 0;
for (const room of process.argv.slice(2).map((name) => relative(root, resolve(name)))) {
  const graph = graphOf(room);
  for (const circle of circlesOf(graph)) {
    found++;
    console.error(`${room}: these need each other in a circle:`);
    for (const module of circle.sort())
      console.error(
        `  ${module} needs ${[...graph.get(module)].filter((needed) => circle.includes(needed)).join(", ")}`,
      );
  }
}
process.exitCode = found > 0 ? 1 : 0;
