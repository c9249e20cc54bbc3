// Makes the pictures of docs/command.md from a running example: docs/command-top.svg, docs/command-page.png and
// docs/command-page-dark.png. Needs Chromium and Python 3.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const emmap = join(root, "dist/cli/emmap.js");
const library = JSON.stringify(join(root, "dist/index.js"));
const folder = mkdtempSync(join(tmpdir(), "shop-"));
const children = [];

function start(command, args, options = {}) {
  const child = spawn(command, args, { cwd: folder, stdio: ["pipe", "pipe", "inherit"], ...options });
  children.push(child);
  return child;
}

/** A service of the example: its name is its command line. */
function service(name, code) {
  writeFileSync(join(folder, `${name}.cjs`), `const emmap = require(${library});\n${code}\n`);
  return start(process.execPath, [`${name}.cjs`]);
}

const ROUND =
  "const at = (ms, work) => (work(), setTimeout(() => at(ms, work), ms * (0.5 + Math.random())));\n";

function startShop() {
  service(
    "web",
    `${ROUND}const jobs = emmap.openQueue("thumbnails.q", { values: "json" });
     const mails = emmap.openQueue("mails.q", { values: "json" });
     const visits = emmap.openCounters("visits.bin", 4);
     const sessions = emmap.openBlockStorage("sessions.bin", { blockSize: 64 });
     const clients = emmap.openTable("clients.table", { capacity: 10_000 });
     globalThis.flags = emmap.openCell("flags.cell", { maxBytes: 4096, values: "json" });
     flags.publish({ checkout: 25 });
     for (let i = 0; i < 300; i++) sessions.store(Buffer.alloc(64));
     let number = 0;
     at(12, () => jobs.push({ picture: "cat-" + ++number + ".png", width: 640 }));
     at(60, () => mails.push({ to: "customer" + ++number + "@example.org", template: "order" }));
     at(5, () => visits.add(0, 1));
     at(20, () => clients.hit("10.0.0." + (number % 200), { limit: 100, windowMs: 60_000 }));
     at(900, () => sessions.free(sessions.store(Buffer.alloc(64))));`,
  );
  service(
    "thumbnailer",
    `const jobs = emmap.openQueue("thumbnails.q");
     jobs.process(() => new Promise((done) => setTimeout(done, 30 * Math.random())), { concurrency: 4 });`,
  );
  return service(
    "mailer",
    `const mails = emmap.openQueue("mails.q"); (async () => { for await (const _ of mails.messages()); })();`,
  );
}

const escaped = (text) =>
  text.replace(/[&<>]/g, (each) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[each]);

/** The last screen of a terminal as a picture that can be searched. */
function toSvg(screen) {
  const lines = screen.split(/\r*\n/).map((line) => line.replace("\x1b[K", ""));
  const text = lines.map((line, at) => {
    const isHead = line.includes("\x1b[7m");
    const isTrouble = line.includes("\x1b[31m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences of a terminal
    const plain = line.replace(/\x1b\[[?\d;]*[a-zA-Z]/g, "");
    const y = 24 + at * 18;
    const bar = isHead ? `<rect x="8" y="${y - 13}" width="690" height="18" fill="#d7dade"/>` : "";
    const color = isHead ? "#16181b" : isTrouble ? "#ff8188" : "#e6e8ea";
    return `${bar}<text x="12" y="${y}" fill="${color}" xml:space="preserve">${escaped(plain)}</text>`;
  });
  const height = 20 + lines.length * 18;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 706 ${height}" role="img" aria-label="emmap top">
<rect width="706" height="${height}" rx="6" fill="#16181b"/>
<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">
${text.join("\n")}
</g>
</svg>
`;
}

async function pictureOfTop() {
  const terminal = join(root, "test/cli/terminal.py");
  const child = start("python3", [terminal, "80", "12", process.execPath, emmap, "top", "--watch", "1"]);
  let all = "";
  child.stdout.on("data", (chunk) => {
    all += chunk;
  });
  await sleep(8000);
  child.stdin.write("keys q\n");
  await once(child, "exit");
  const screen = all.split("\x1b[H").at(-1).split("\x1b[J")[0];
  writeFileSync(join(root, "docs/command-top.svg"), toSvg(screen));
}

async function picturesOfPage(url) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  for (const [colorScheme, name] of [
    ["light", "command-page.png"],
    ["dark", "command-page-dark.png"],
  ]) {
    const page = await browser.newPage({ viewport: { width: 1180, height: 720 }, colorScheme });
    await page.goto(url);
    await page.getByRole("button", { name: /mails\.q/ }).click();
    await page.getByRole("list", { name: "Messages" }).waitFor();
    await page.evaluate("scrollTo(0, 0)");
    await page.screenshot({ path: join(root, "docs", name) });
  }
  await browser.close();
}

try {
  const mailer = startShop();
  const server = start(process.execPath, [emmap, "serve", "--port", "0", folder]);
  const [line] = await once(server.stdout, "data");
  await sleep(60_000);
  mailer.kill("SIGSTOP");
  await sleep(20_000);
  await pictureOfTop();
  await picturesOfPage(String(line).trim());
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
