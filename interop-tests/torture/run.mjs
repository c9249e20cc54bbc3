// Does to all runtimes everything in faults/ for so many seconds, and prints what became of it.
// Usage: run.mjs [SECONDS [FAULT,FAULT...]]; status 1 if anything was lost, not survived or never happened.
//
// A fault is a module NAME.mjs in faults/ that exports
//   title          what is done, in a few words
//   run            async ({ seconds, say }) => rows: does one whole round, however short `seconds` is, and goes on for
//                  about so many; `say` takes lines about its progress. What it starts is gone when it has returned
//   shortSeconds   how long it takes in `make test`; 1 if there is none
// A row is { fault, runtime, hits, survived, lost, worstWaitMs }: how often the fault really happened, after how many of
// these all went on as promised, what went missing or came twice, and the longest that anybody had to wait for the
// dead; null where nobody waits for them. A waitLimitMs besides says how long that may be. Where a machine does not allow a
// fault the module throws a NotPossible.
//
// Some rounds are as long as the environment says, or `make torture`: DEATHS=50000 for deaths, HAND_OVERS=10000000 KILLS=1000
// for hand-overs. FAULTS=soak SECONDS=1800 is a soak of half an hour.
import { endAll } from "./support/processes.mjs";
import { faultNames, loadFault, NotPossible, report, shortcoming, together } from "./support/report.mjs";

const DEFAULT_SECONDS = 600;

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.on("exit", endAll);

const [seconds, chosen] = process.argv.slice(2);
const names = chosen ? chosen.split(",") : faultNames();
const each = Number(seconds || DEFAULT_SECONDS) / names.length;
if (!(each >= 0)) throw new RangeError(`SECONDS is not a number: ${seconds}`);

const started = Date.now();
const say = (text) =>
  console.log(`${String(Math.round((Date.now() - started) / 1000)).padStart(6)} s  ${text}`);
const rows = [];
const notDone = [];
const failures = [];
for (const name of names) {
  const fault = await loadFault(name);
  say(`${name}: ${fault.title}`);
  try {
    rows.push(...(await fault.run({ seconds: each, say: (text) => say(`  ${text}`) })));
  } catch (error) {
    // Whatever one of them does to a runtime, the others have their turn.
    if (error instanceof NotPossible) notDone.push(`${name}: not done, ${error.message}`);
    else failures.push(`${name}: ${error.stack}`);
  }
}
console.log(`\n${[report(rows), ...notDone].join("\n")}`);
console.log(`\nAll runtimes together:\n\n${report(together(rows))}`);
failures.push(...rows.map(shortcoming).filter((text) => text !== null));
for (const text of failures) console.log(`FAILED: ${text}`);
process.exitCode = failures.length > 0 ? 1 : 0;
