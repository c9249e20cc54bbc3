// serve: the page in Chromium, JSON, metrics, and who is let in.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBlockStorage, openCounters, openQueue } from "../../src";
import { atom, encode } from "../../src/etf";
import { emmap, freshFolder, give, peer, run } from "../cli/support";

/** A server, and its address. */
async function serve(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ url: string; address: string }> {
  const child = spawn(process.execPath, [emmap, "serve", "--port", "0", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line] = await once(child.stdout, "data");
  const address = String(line).trim();
  return { address, url: address.replace(/\/\?.*|\/$/, "").replace("0.0.0.0", "127.0.0.1") };
}

const get = async (url: string, headers: Record<string, string> = {}) => {
  const answer = await fetch(url, { headers, redirect: "manual" });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
};

/** The status of an answer, with a header that fetch does not send. */
const statusWith = (
  url: string,
  headers: Record<string, string>,
  method = "GET",
): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request(url, { headers, method }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on("error", reject)
      .end();
  });

function shop(): string {
  const folder = freshFolder();
  using jobs = openQueue(join(folder, "jobs.q"), { values: "json" });
  jobs.pushMany([{ picture: "cat.png" }, { picture: "dog.png" }]);
  using visits = openCounters(join(folder, "visits.bin"), 2);
  visits.add(1, 42);
  using pictures = openBlockStorage(join(folder, "pictures.bin"), { blockSize: 8 });
  pictures.store("picture1");
  writeFileSync(join(folder, "secret.txt"), "secret");
  return folder;
}

test("JSON and metrics tell what the page shows", async () => {
  const folder = shop();
  const { url } = await serve([folder]);
  const files = JSON.parse((await get(`${url}/api/files`)).text);
  expect(files).toEqual([
    expect.objectContaining({ path: join(folder, "jobs.q"), kind: "queue", amount: 2 }),
    expect.objectContaining({ path: join(folder, "pictures.bin"), kind: "blocks", amount: 1 }),
    expect.objectContaining({ path: join(folder, "visits.bin"), kind: "counters", amount: 2 }),
  ]);
  const file = JSON.parse(
    (await get(`${url}/api/file?path=${encodeURIComponent(join(folder, "jobs.q"))}&as=json`)).text,
  );
  expect(file).toMatchObject({
    kind: "queue",
    writers: [],
    inside: ['{"picture":"cat.png"}', '{"picture":"dog.png"}'],
  });
  const { text, headers } = await get(`${url}/metrics`);
  expect(headers.get("content-type")).toContain("text/plain; version=0.0.4");
  expect(text).toContain(`emmap_queue_length{path="${join(folder, "jobs.q")}",kind="queue"} 2`);
  expect(text).toContain(`emmap_counters_value{path="${join(folder, "visits.bin")}",index="1"} 42`);
  expect(text).toContain(`emmap_trouble{path="${join(folder, "jobs.q")}",kind="queue"} 0`);
});

test("what was pushed and popped since the first look is counted", async () => {
  const folder = freshFolder();
  await peer("const q = emmap.openQueue('jobs.q'); setInterval(() => { q.push(1); q.pop() }, 10)", folder);
  const { url } = await serve([folder]);
  const popped = async (): Promise<number> =>
    Number(/emmap_queue_popped_total\{.*\} (\d+)/.exec((await get(`${url}/metrics`)).text)?.[1] ?? 0);
  await expect.poll(popped, { timeout: 10_000 }).toBeGreaterThan(50);
});

test("the page is small, asks no other host, and works without a script", async () => {
  const folder = shop();
  const { url } = await serve([folder]);
  const { text, headers } = await get(`${url}/`);
  expect(text.length).toBeLessThan(100 * 1024);
  expect(text.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:/);
  expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; .*connect-src 'self'/);
  expect(text).toContain(`<th scope="row">${join(folder, "jobs.q")}</th><td>queue</td><td>2</td>`);
});

test("paths outside of the folders are refused, and so are links", async () => {
  const folder = shop();
  const outside = freshFolder();
  openQueue(join(outside, "other.q")).close();
  symlinkSync(join(outside, "other.q"), join(folder, "link.q"));
  symlinkSync(outside, join(folder, "linked"));
  const { url } = await serve(["--recursive", folder]);
  const status = async (path: string): Promise<number> =>
    (await get(`${url}/api/file?path=${encodeURIComponent(path)}`)).status;
  expect(await status(join(folder, "jobs.q"))).toBe(200);
  for (const path of [
    join(outside, "other.q"),
    join(folder, "link.q"),
    join(folder, "linked/other.q"),
    `${folder}/../${outside.split("/").at(-1)}/other.q`,
    join(folder, "secret.txt"),
    "/etc/passwd",
    "",
  ])
    expect([path, await status(path)]).toEqual([path, 404]);
  // A file of the list that becomes a link afterwards.
  rmSync(join(folder, "jobs.q"));
  symlinkSync(join(outside, "other.q"), join(folder, "jobs.q"));
  expect(await status(join(folder, "jobs.q"))).toBe(404);
  for (const path of ["/secret.txt", "/../etc/passwd", "/api", "/api/files/x"])
    expect((await get(`${url}${path}`)).status).toBe(404);
  expect(await statusWith(`${url}/`, {}, "POST")).toBe(405);
  expect(await statusWith(`${url}//`, {})).toBe(400);
});

test("it listens on loopback, and answers no name that others could let point here", async () => {
  const { url, address } = await serve([shop()]);
  expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const { port } = new URL(url);
  expect(await statusWith(url, { host: `localhost:${port}` })).toBe(200);
  expect(await statusWith(url, { host: "evil.example" })).toBe(403);
});

test("for other hosts it wants a token", async () => {
  const { url, address } = await serve(["--host", "0.0.0.0", shop()]);
  const token = new URL(address).searchParams.get("token") as string;
  expect(token).toMatch(/^[\w-]{24}$/);
  for (const path of ["/", "/api/files", "/metrics", "/events"])
    expect((await get(`${url}${path}`)).status).toBe(401);
  expect((await get(`${url}/?token=wrong`)).status).toBe(401);
  expect((await get(`${url}/metrics`, { authorization: `Bearer ${token}` })).status).toBe(200);
  const entered = await get(`${url}/?token=${token}`);
  expect([entered.status, entered.headers.get("location")]).toEqual([303, "/"]);
  const cookie = entered.headers.get("set-cookie") as string;
  expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
  expect((await get(`${url}/`, { cookie: cookie.split(";")[0] as string })).status).toBe(200);
  expect((await get(`${url}/`, { cookie: "emmap_token=%" })).status).toBe(401);
  const chosen = await serve(["--host", "0.0.0.0", shop()], { EMMAP_TOKEN: "chosen" });
  expect(chosen.address).not.toContain("chosen");
  expect((await get(`${chosen.url}/`, { authorization: "Bearer chosen" })).status).toBe(200);
});

test("wrong ports and paths are told", () => {
  expect(run(["serve", "--port", "x"])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("no port"),
  });
  expect(run(["serve", "/no/such/folder"])).toMatchObject({ status: 2 });
});

const { stdout } = spawnSync("sh", ["-c", "command -v chromium || command -v chromium-browser"], {
  encoding: "utf8",
});
const executablePath = stdout.trim();
const { EMMAP_TEST_BROWSER } = process.env;
if (EMMAP_TEST_BROWSER === "none")
  console.warn("NOT TESTED: the page in a browser, since EMMAP_TEST_BROWSER=none");

describe.skipIf(EMMAP_TEST_BROWSER === "none")("in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    if (executablePath === "")
      throw new Error(
        "there is no Chromium: run `make tools-test`, or set EMMAP_TEST_BROWSER=none to leave it out",
      );
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser?.close());

  /** The page of a folder. It fails if the page logs an error or asks another host. */
  async function visit(
    folder: string,
    options: { javaScriptEnabled?: boolean; colorScheme?: "light" | "dark" } = {},
  ): Promise<Page> {
    const { url } = await serve([folder]);
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on(
      "request",
      (asked) =>
        asked.url().startsWith(url) || asked.url().startsWith("data:") || complaints.push(asked.url()),
    );
    onTestFinished(async () => {
      await context.close();
      expect(complaints).toEqual([]);
    });
    await page.goto(url);
    return page;
  }

  test("files are there by role and name, and change while one looks", async () => {
    const folder = shop();
    const page = await visit(folder);
    const row = page.getByRole("table", { name: "Files" }).getByRole("row", { name: /jobs\.q/ });
    await row.getByRole("img", { name: /^Depth: now 2/ }).waitFor();
    using jobs = openQueue(join(folder, "jobs.q"), { values: "json" });
    jobs.push("more");
    await row.getByRole("img", { name: /^Depth: now 3/ }).waitFor();
    await page.getByRole("status").getByText("3 files, none in trouble").waitFor();
    await page.getByRole("searchbox", { name: "Find files" }).fill("visits");
    await row.waitFor({ state: "detached" });
    expect(await page.getByRole("table", { name: "Files" }).getByRole("row").count()).toBe(2);
  });

  test("a stuck queue and its holder are seen at a look", async () => {
    const folder = shop();
    const holder = await peer("const q = emmap.openQueue('stuck.q'); q.push(1)", folder);
    give(join(folder, "stuck.q"), holder.pid as number, "lock");
    holder.kill("SIGSTOP");
    const page = await visit(folder);
    await page.getByRole("status").getByText("4 files, 1 in trouble").waitFor();
    const first = page.getByRole("table", { name: "Files" }).getByRole("row").nth(1);
    expect(await first.textContent()).toMatch(
      new RegExp(`stuck\\.q.*process ${holder.pid} .* is stopped and has the lock`),
    );
    expect(await page.title()).toBe("(1) emmap");
    await first.getByRole("button").click();
    const file = page.getByRole("region", { name: /stuck\.q/ });
    await file
      .getByRole("table", { name: "Handles that may write" })
      .getByText("stopped, has the lock")
      .waitFor();
  });

  test("messages in hand are shown with their consumers, and what is in a cell and a table", async () => {
    const folder = shop();
    const consumer = await peer(
      "const q = emmap.openQueue('jobs.q', { values: 'json' }); void q.take();" +
        "emmap.openCell('flags.cell', { maxBytes: 100, values: 'json' }).publish({ checkout: 25 });" +
        "emmap.openTable('clients.table', { capacity: 10 }).add('ann', 0, 3)",
      folder,
    );
    const page = await visit(folder);
    const row = page.getByRole("table", { name: "Files" }).getByRole("row", { name: /jobs\.q/ });
    await row.getByRole("cell", { name: "1", exact: true }).first().waitFor();
    await row.getByRole("button").click();
    const hand = page
      .getByRole("region", { name: /jobs\.q/ })
      .getByRole("table", { name: "Messages in hand" });
    await hand.getByRole("cell", { name: String(consumer.pid) }).waitFor();
    await page.getByRole("button", { name: /flags\.cell/ }).click();
    await page.getByRole("list", { name: "Value" }).getByText('#{<<"checkout">> => 25}').waitFor();
    await page.getByRole("button", { name: /clients\.table/ }).click();
    await page.getByRole("list", { name: "Keys" }).getByText("ann: 3 0").waitFor();
  });

  test("the keyboard reaches everything", async () => {
    const folder = shop();
    const page = await visit(folder);
    await page.getByRole("button", { name: /jobs\.q/ }).waitFor();
    await page.keyboard.press("/");
    expect(await page.evaluate("document.activeElement.type")).toBe("search");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const file = page.getByRole("region", { name: /jobs\.q/ });
    await file.getByRole("list", { name: "Messages" }).waitFor();
    expect(await file.getByRole("listitem").first().textContent()).toBe('#{<<"picture">> => <<"cat.png">>}');
    // The list is shown anew with each look, and the focus stays where it is.
    await file.getByRole("button", { name: "JSON" }).focus();
    await page.keyboard.press("Enter");
    await file.getByText('{"picture":"cat.png"}').waitFor();
    await page.waitForTimeout(2500);
    expect(await page.evaluate("document.activeElement.textContent")).toBe("JSON");
    expect(await file.getByRole("button", { name: "JSON" }).getAttribute("aria-pressed")).toBe("true");
    await page.keyboard.press("Escape");
    await file.waitFor({ state: "hidden" });
    expect(await page.evaluate("document.activeElement.textContent")).toContain("jobs.q");
  });

  test("a script in a name or a message does not run", async () => {
    const folder = freshFolder();
    const evil = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    mkdirSync(folder, { recursive: true });
    const name = `${evil.replaceAll("/", "")}.q`;
    {
      using queue = openQueue(join(folder, name), { raw: true });
      for (const message of [encode(evil), encode(atom(evil)), Buffer.from(evil)]) queue.push(message);
    }
    const page = await visit(folder);
    await page.getByRole("button", { name: /img src/ }).click();
    const file = page.getByRole("region", { name: /img src/ });
    await file.getByText("<script>").first().waitFor();
    await page.waitForTimeout(2500);
    expect(await page.title()).toBe("emmap");
    expect(await page.locator("img").count()).toBe(0);
  });

  test.each([380, 1100])("names as long as a folder allows fit a page of %i pixels", async (width) => {
    const folder = freshFolder();
    const name = `${"long".repeat(60)}.q`;
    openQueue(join(folder, name)).close();
    const page = await visit(folder);
    await page.setViewportSize({ width, height: 800 });
    await page.getByRole("button", { name: /long/ }).click();
    await page.getByRole("heading", { name: /long/ }).waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    // The depth stays in sight, beside the name.
    const depth = page.getByRole("table", { name: "Files" }).getByRole("columnheader", { name: "Depth" });
    const place = await depth.boundingBox();
    expect((place?.x ?? 0) + (place?.width ?? 0)).toBeLessThanOrEqual(width);
  });

  test("without a script there is a table", async () => {
    const page = await visit(shop(), { javaScriptEnabled: false });
    const row = page.getByRole("table", { name: "Files" }).getByRole("row", { name: /jobs\.q/ });
    expect(await row.textContent()).toMatch(/jobs\.qqueue2/);
    expect(await page.getByRole("searchbox").count()).toBe(0);
  });

  test.each(["light", "dark"] as const)("text can be read in the %s theme", async (colorScheme) => {
    const page = await visit(shop(), { colorScheme });
    await page.getByRole("button", { name: /jobs\.q/ }).click();
    await page.getByRole("region", { name: /jobs\.q/ }).waitFor();
    // The contrast that WCAG asks of text, of each element with text of its own.
    const worst = await page.evaluate(`(() => {
      const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((each) => Number(each) / 255);
      const light = (color) => {
        const [r, g, b] = channels(color).map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return color !== "rgba(0, 0, 0, 0)" || !element.parentElement ? color : behind(element.parentElement);
      };
      const texts = [...document.querySelectorAll("body *")].filter((each) =>
        each.checkVisibility() && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ""));
      return Math.min(...texts.map((each) => {
        const [one, other] = [light(getComputedStyle(each).color), light(behind(each))];
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      }));
    })()`);
    expect(worst).toBeGreaterThanOrEqual(4.5);
  });
});
