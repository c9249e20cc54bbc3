// The npm package for a new user: in an empty folder, on a machine without a compiler.
import { spawn } from "node:child_process";
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { languages, snippets } from "./support/readme";
import {
  emptyFolder,
  failure,
  freshFolder,
  installBeside,
  installNpm,
  lend,
  packNpm,
  pathOf,
  root,
  run,
  tool,
} from "./support/user";

const folder = emptyFolder();
let noCompiler: NodeJS.ProcessEnv;

beforeAll(() => {
  const { filename } = packNpm(folder);
  noCompiler = { PATH: pathOf(folder, ["node", "npm", "sh", "env"]), HOME: folder };
  const { cache } = JSON.parse(run("npm", ["config", "ls", "--json"], root)) as { cache: string };
  installNpm(filename, folder, { ...noCompiler, npm_config_cache: cache });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("there is no compiler on this path, nor anything to build with", () => {
  for (const program of ["cc", "gcc", "c++", "make", "python3", "node-gyp"])
    expect(failure("env", ["sh", "-c", `command -v ${program}`], folder, noCompiler)).toContain("failed");
});

test("the package works without a compiler", () => {
  copyFileSync(join(root, "test/packages/support/use.mjs"), join(folder, "use.mjs"));
  expect(run("node", ["use.mjs"], folder, noCompiler)).toMatch(/hello hello .* ENOENT\n$/);
});

test("the package works with the files that the docs leave in an image", () => {
  const own = join(folder, "image");
  cpSync(join(folder, "node_modules"), join(own, "node_modules"), { recursive: true });
  copyFileSync(join(root, "test/packages/support/use.mjs"), join(own, "use.mjs"));
  const remove = snippets("sh", "docs/packages.md").find((code) => code.startsWith("cd node_modules/emmap"));
  run("sh", ["-e", "-c", remove as string], own);
  expect(run("node", ["use.mjs"], own, noCompiler)).toMatch(/hello hello .* ENOENT\n$/);
  rmSync(own, { recursive: true });
});

test("one command tells which queue is stuck, and one because of whom, while two services run", async () => {
  const own = freshFolder();
  const service = (name: string, code: string): number => {
    writeFileSync(join(folder, name), `import { openQueue } from "emmap";\n${code}`);
    const child = spawn("node", [join(folder, name)], { cwd: own, env: noCompiler, stdio: "ignore" });
    onTestFinished(() => void child.kill("SIGKILL"));
    return child.pid as number;
  };
  service(
    "shop.mjs",
    `const orders = openQueue("orders.q", { values: "json" });
     const mails = openQueue("mails.q", { values: "json" });
     setInterval(() => { orders.push("order"); mails.push("mail"); }, 10);`,
  );
  const office = service(
    "office.mjs",
    `const orders = openQueue("orders.q");
     setInterval(() => orders.pop(), 5);`,
  );
  const mailer = service(
    "mailer.mjs",
    `for await (const mail of openQueue("mails.q", { values: "json" }).messages());`,
  );
  const emmap = (...args: string[]): string =>
    run(join(folder, "node_modules/.bin/emmap"), args, own, noCompiler);
  const popped = (): boolean => {
    const { writers } = JSON.parse(emmap("info", "mails.q", "--json")) as {
      writers: { process: number; popped: number }[];
    };
    return writers.some((each) => each.process === mailer && each.popped > 0);
  };
  await expect.poll(() => existsSync(join(own, "mails.q")) && popped(), { timeout: 20_000 }).toBe(true);
  process.kill(mailer, "SIGSTOP");

  const [, worst = "", reason = "", next = ""] = emmap("top", "--once").split("\n");
  expect(worst).toMatch(/^mails\.q +queue/);
  expect(reason).toMatch(new RegExp(`its consumer, process ${mailer} \\(.*mailer\\.mjs\\), is stopped`));
  expect(next).toMatch(/^orders\.q +queue/);
  const info = emmap("info", "mails.q");
  expect(info).toMatch(new RegExp(`TROUBLE +its consumer, process ${mailer} `));
  expect(info).not.toContain(String(office));
}, 60_000);

test("an addon that can't be loaded is named, and what builds it", () => {
  const own = join(folder, "broken");
  const installed = join(own, "node_modules/emmap");
  cpSync(join(folder, "node_modules/emmap"), installed, { recursive: true });
  const addon = join(installed, "prebuilds", `linux-${process.arch}`, "emmap.node");
  rmSync(addon);
  writeFileSync(addon, "no library");
  const message = failure("node", ["-e", 'require("emmap")'], own, noCompiler);
  expect(message).toContain(
    `${addon} can't be loaded: file too short; to build it for this system: node ${installed}/scripts/build`,
  );
  rmSync(own, { recursive: true });
});

test("every language of the README's is tried by a test", () => {
  // Other tests run the commands in sh. mermaid is a picture.
  expect(["elixir", "erlang", "mermaid", "sh", "ts"]).toEqual(expect.arrayContaining(languages()));
});

/** The tests run the programs of these pages. */
const PAGES = [
  "README.md",
  "docs/which-structure.md",
  "docs/cell.md",
  "docs/table.md",
  "docs/metrics.md",
  "docs/running.md",
  "docs/testing.md",
  "docs/job-queues.md",
];
/** Ends consumers, which run until they are told to stop. */
const STOP = 'setTimeout(() => process.kill(process.pid, "SIGTERM"), 500).unref();\n';
const programs = PAGES.flatMap((page) => snippets("ts", page).map((code, index) => ({ page, index, code })));
const shown = programs.map(({ code }) => code);

test.each(programs)("TypeScript $index of $page runs as it stands", ({ page, index, code }) => {
  const own = freshFolder();
  const program = join(folder, `${page.replaceAll("/", "-")}-${index}.mjs`);
  writeFileSync(
    program,
    ts.transpile(STOP + code, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }),
  );
  run("node", [program], own, noCompiler);
  if (page === "README.md") expect(readFileSync(join(own, "counters.bin")).readBigInt64LE(16)).toBe(2n);
});

const program = `
  import { type BlockStorage, type Counters, EMPTY, EmmapError, type EmmapErrorCode, type MappedFile, open, openBlockStorage, openCounters, openQueue, type Queue } from "emmap";
  import { type Atom, atom, decode, encode, type Term, tuple } from "emmap/etf";
  using file: MappedFile = open("state.bin", { write: true, create: true, size: 4096, mode: 0o600 });
  const bytes: Buffer | null = file.pread(0, 8n);
  file.pwrite(0, bytes ?? "text");
  const old: bigint = file.add(8, 1) + file.compareExchange(8, 1n, 2);
  const words: BigInt64Array = file.bigInt64Array(0, 1);
  using counters: Counters = openCounters(new URL("file:///counters.bin"), 8, { exclusive: true });
  const values: bigint[] = [...counters];
  const done: Promise<void> = file.sync();
  try { counters.add(0, 5n); } catch (error) {
    if (error instanceof EmmapError) { const code: EmmapErrorCode = error.code; const errno: number | undefined = error.errno; console.log(code, errno); }
    // @ts-expect-error: there is no such code
    if (error instanceof EmmapError && error.code === "ENONET") throw error;
  }
  // @ts-expect-error: there is no such option
  open("state.bin", { wriet: true });
  // @ts-expect-error: an operand is a number
  file.add(0, "1");
  using queue: Queue = openQueue("jobs.q", { size: 1 << 20 });
  queue.push(tuple(atom("ok"), 1n, ["text"]));
  const message: Term | typeof EMPTY = queue.pop();
  interface Job { readonly id: number; readonly parts?: readonly Job[]; }
  const job: Job = { id: 1 };
  queue.push([job]);
  const jobs: Queue<Job, Job> = openQueue<Job>(Buffer.from("jobs.json.q"), { values: "json" });
  jobs.push(job);
  for (let next = jobs.pop(); next !== EMPTY; next = jobs.pop()) console.log(next.id);
  const typed: Job | null = openQueue<Job>("jobs.q").pop(null);
  // @ts-expect-error: there may be no message
  const id: number = jobs.peek().id;
  // @ts-expect-error: it makes itself
  new EmmapError("message", {});
  using blocks: BlockStorage = openBlockStorage("blocks.bin", { blockSize: 64 });
  const address: number = blocks.store(Buffer.alloc(64));
  const block: Buffer | null = blocks.read(address);
  const again: Term = decode(encode(new Map<Atom, number>([[atom("a"), 1]])));
  // An option may be undefined, with and without exactOptionalPropertyTypes.
  openQueue("jobs.q", { size: undefined });
  console.log(old, words, values, done, message, typed, id, block, again);`;

const nodenext = { module: "nodenext", include: ["use.mts", "use.cts"] };
const preserve = { module: "preserve", moduleResolution: "bundler", include: ["use.mts"] };
// TypeScript's default for CommonJS until 5.9. It ignores "exports".
const node10 = { module: "commonjs", moduleResolution: "node10", include: ["use.ts"] };

// An editor reads a project with its tsconfig.json, and checks the package's own types too.
test.each([
  ["TypeScript as it is here", nodenext],
  ["TypeScript as it is here", preserve],
  ["TypeScript 5.4", nodenext],
  ["TypeScript 5.4", preserve],
  ["TypeScript 5.4", node10],
])(
  "a strict project reads the types, and what the README shows: %s, %o",
  (release, { include, ...resolution }) => {
    lend(folder, "@types/node");
    lend(folder, "undici-types");
    const shownAs = include.map((name) => name.replace("use", "shown"))[0] as string;
    for (const name of include) writeFileSync(join(folder, name), program);
    // A CommonJS module has no await outside of a function.
    const fit = shown.filter((code) => shownAs.endsWith(".mts") || !/^(?!\/\/).*\bawait /m.test(code));
    for (const [index, code] of fit.entries()) writeFileSync(join(folder, `${index}-${shownAs}`), code);
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
      target: "es2022",
      lib: ["es2023", "esnext.disposable"],
      types: ["node"],
      ...resolution,
    };
    const project = { compilerOptions, include: [...include, `*-${shownAs}`] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project));
    const old = release === "TypeScript 5.4";
    run(old ? join(installBeside("typescript"), "typescript/bin/tsc") : tool("tsc"), ["-p", "."], folder);
  },
);

test("an editor finds the source of what it shows", () => {
  const dist = join(folder, "node_modules/emmap/dist");
  for (const name of ["index.d.ts", "file.d.ts", "etf/decode.d.ts"]) {
    const map = JSON.parse(readFileSync(join(dist, `${name}.map`), "utf8")) as { sources: string[] };
    expect(readFileSync(join(dist, name), "utf8")).toContain("sourceMappingURL=");
    for (const source of map.sources) expect(existsSync(join(dist, name, "..", source)), source).toBe(true);
  }
});
