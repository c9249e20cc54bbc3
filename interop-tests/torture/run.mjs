// Injects the faults in faults/ into all runtimes for so many seconds, and prints a table of the results.
// Usage: run.mjs [SECONDS [FAULT,FAULT...]]; status 1 if something was lost or not survived, or a fault never happened.
//
// A fault is a module NAME.mjs in faults/ that exports
//   title          the fault, in a few words
//   run            async ({ seconds, say }) => rows: does at least one whole round, and goes on for about so many seconds;
//                  `say` takes lines about its progress. Everything that it starts has ended when it returns
//   shortSeconds   its seconds in `make test`; 1 if missing
// A row is { fault, runtime, hits, survived, lost, worstWaitMs }: how often the fault happened, how often everything went on
// as promised, how many things were missing or came twice, and the longest wait for a dead process; null: no process waits.
// `waitLimitMs` in a row is the longest wait that is allowed. If a machine does not allow a fault the module throws a
// NotPossible.
//
// Variables in the environment, or of `make torture`, set the length of some rounds: DEATHS=50000 for deaths,
// HAND_OVERS=10000000 KILLS=1000 for hand-overs. FAULTS=soak SECONDS=1800 is a soak of half an hour.
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
    // If one fault fails, the others still have their turn.
    if (error instanceof NotPossible) notDone.push(`${name}: not done, ${error.message}`);
    else failures.push(`${name}: ${error.stack}`);
  }
}
console.log(`\n${[report(rows), ...notDone].join("\n")}`);
console.log(`\nAll runtimes together:\n\n${report(together(rows))}`);
failures.push(...rows.map(shortcoming).filter((text) => text !== null));
for (const text of failures) console.log(`FAILED: ${text}`);
process.exitCode = failures.length > 0 ? 1 : 0;
