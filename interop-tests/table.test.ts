// Processes of both runtimes on one table: inserts, deletes, additions and hits. Afterwards every count is right. And one file of
// metrics for both.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { counter, gauge, histogram, openMetrics, openTable } from "emmap";
import { expect, onTestFinished, test } from "vitest";
import { ebin } from "./support/runtimes";

const support = join(__dirname, "support");

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "emmap-table-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a program, and resolves to its output. Its status must be 0. */
async function output(command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (piece) => {
    text += piece;
  });
  const [status] = await once(child, "close");
  expect([args.join(" "), status]).toEqual([args.join(" "), 0]);
  return text;
}

const KEYS = 20;
const ROUNDS = 3000;
const LIMIT = 2000;

test("four processes of both runtimes hammer one table, and every count is right", async () => {
  const path = join(freshFolder(), "table");
  // One long key, and few places: they change hands all the time.
  using table = openTable(path, { capacity: 60 });
  const program = (name: string): Promise<string> =>
    output(
      process.execPath,
      join(support, "table_user.mjs"),
      path,
      name,
      String(ROUNDS),
      String(KEYS),
      String(LIMIT),
    );
  const escript = (backend: string, name: string): Promise<string> =>
    output(
      "escript",
      join(support, "table_user.escript"),
      ebin,
      backend,
      path,
      name,
      String(ROUNDS),
      String(KEYS),
      String(LIMIT),
    );
  const ends = await Promise.all([program("a"), program("b"), escript("nif", "c"), escript("port", "d")]);
  const allowed = ends.map(Number);
  expect(allowed.reduce((sum, each) => sum + each)).toBe(LIMIT);
  const entries = new Map([...table].map(([key, [word]]) => [String(key), word]));
  entries.delete("the limit");
  const expected = Array.from(
    { length: KEYS },
    (_, i) => [`shared ${i}`, BigInt((4 * ROUNDS) / KEYS)] as const,
  );
  expect(entries).toEqual(new Map(expected));
  expect(table.size).toBe(KEYS + 1);
}, 120_000);

test("both runtimes count in one file of metrics, and show the same", async () => {
  const path = join(freshFolder(), "metrics");
  const metrics = openMetrics(path, {
    requests_total: counter({ labels: ["route", "status"] }),
    latency_seconds: histogram({ buckets: [1e-7, 0.1, 1e6] }),
    in_flight: gauge({ perProcess: true }),
  });
  metrics.requests_total.labels({ route: "/", status: 200 }).add(2);
  metrics.latency_seconds.observe(0.05);
  metrics.in_flight.set(1);
  const shown = await output("escript", join(support, "metrics_user.escript"), ebin, path);
  expect(shown).toContain("in_flight 4\n");
  expect(shown).toContain('requests_total{route="/",status="200"} 5\n');
  const text = await metrics.text();
  expect(text).toBe(shown.replace("in_flight 4", "in_flight 1"));
  metrics.close();
});
