// The power is cut between any two of the kernel's writes to the disk. All doors have the same core, so the core's own tests
// do it, in the place of a disk (native/test/test_power_loss*.c). Here they run for the given time.
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Peer } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";

export const title = "a power cut at any moment between two syncs";
export const shortSeconds = 1;

const tests = resolve(fileURLToPath(import.meta.url), "../../../../native/test");

/** What is on the disk, and the program whose disk it is. */
const PROGRAMS = {
  "power cut between two syncs": "test_power_loss",
  "power cut while messages are in hand": "test_power_loss_take",
  "power cut in a numbered push": "test_power_loss_once",
};

export async function run({ seconds, say }) {
  const rows = [];
  for (const [fault, name] of Object.entries(PROGRAMS)) {
    const program = `build/plain/${name}`;
    execFileSync("make", ["-s", "-C", tests, program]);
    const seed = randomInt(2 ** 32);
    say(`${fault}, from seed ${seed}`);
    const peer = new Peer(join(tests, program), [
      String(Math.ceil(seconds / Object.keys(PROGRAMS).length)),
      String(seed),
    ]);
    const { images, violations } = JSON.parse(await peer.ask(""));
    await peer.ended;
    const row = new Row(fault, "core");
    row.hits = images;
    row.survived = images - violations;
    row.lost = violations;
    rows.push(row);
  }
  return rows;
}
