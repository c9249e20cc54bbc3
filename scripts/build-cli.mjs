// Bundles the command `emmap` with its libraries into dist/cli, and writes the libraries' licences beside it.
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const folder = join(root, "dist/cli");

/** The second bundle is loaded by the first one when it is needed. */
const more = {
  name: "more",
  setup({ onResolve }) {
    onResolve({ filter: /\/more\.js$/ }, () => ({ path: "./more.js", external: true }));
  },
};

/** commander would load this module, which takes long, for verbs that are programs of their own. There are none here. */
const withoutPrograms = {
  name: "without programs",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, () => ({ path: "child_process", namespace: "none" }));
    onLoad({ filter: /./, namespace: "none" }, () => ({ contents: "" }));
  },
};

const bundle = (entry, outfile, plugins) =>
  build({
    entryPoints: [join(root, "src/cli", entry)],
    outfile: join(folder, outfile),
    plugins,
    bundle: true,
    minify: true,
    metafile: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    // Makes require of import(), which would load a second loader.
    supported: { "dynamic-import": false },
    legalComments: "none",
    loader: { ".html": "text", ".css": "text", ".client.js": "text" },
    absWorkingDir: root,
    logLevel: "warning",
  });

rmSync(folder, { recursive: true, force: true });
const built = [
  await bundle("main.ts", "emmap.js", [more, withoutPrograms]),
  await bundle("more.ts", "more.js", []),
];
chmodSync(join(folder, "emmap.js"), 0o755);

const packages = new Set(
  built
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined),
);
const licences = [...packages].sort().map((name) => {
  const from = join(root, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
  const file = readdirSync(from).find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) throw new Error(`${name} has no text of its licence, ${license}`);
  return `${name} ${version}, ${license}\n\n${readFileSync(join(from, file), "utf8").trim()}\n`;
});
writeFileSync(
  join(folder, "LICENSES.txt"),
  `The command contains these libraries:\n\n${licences.join(`\n${"-".repeat(80)}\n\n`)}`,
);
