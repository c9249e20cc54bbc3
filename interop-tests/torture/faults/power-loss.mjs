// The power is cut between any two of the kernel's writes to the disk. All doors have the same core, so the core's own test
// does it, in the place of a disk (native/test/test_power_loss.c). Here it runs for the given time.
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Peer } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";

export const title = "a power cut at any moment between two syncs";
export const shortSeconds = 1;

const tests = resolve(fileURLToPath(import.meta.url), "../../../../native/test");

export async function run({ seconds, say }) {
  const program = "build/plain/test_power_loss";
  execFileSync("make", ["-s", "-C", tests, program]);
  const seed = randomInt(2 ** 32);
  say(`power cuts from seed ${seed}`);
  const peer = new Peer(join(tests, program), [String(seconds), String(seed)]);
  const { images, violations } = JSON.parse(await peer.ask(""));
  await peer.ended;
  const row = new Row("power cut between two syncs", "core");
  row.hits = images;
  row.survived = images - violations;
  row.lost = violations;
  return [row];
}
