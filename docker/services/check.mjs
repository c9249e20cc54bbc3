// Watches the services until each gateway has the answers to its share of requests. Then it tells them to close, and
// verifies that no message, block or count was lost or doubled. It ends with status 0 if so. Environment: FOLDER has the
// shared files; JOBS is the share; if HOLD is set, the services go on beyond their share until SIGUSR2.
import { setTimeout as sleep } from "node:timers/promises";
import { openBlockStorage, openCounters, openQueue } from "emmap";
import {
  answersFile,
  BLOCK_SIZE,
  CLOSING,
  COUNTERS,
  COUNTERS_FILE,
  counterOf,
  FILE_MODE,
  GATEWAYS,
  JOBS_FILE,
  RESULTS_FILE,
  SERVICES,
  TENANTS,
  tenantOf,
  WORKER,
} from "./layout.mjs";
import { requestOf } from "./results.mjs";

const share = Number(process.env.JOBS ?? 10_000);
const STALLED_MS = 60_000;

const counters = openCounters(COUNTERS_FILE, COUNTERS, { mode: FILE_MODE });
const queues = [JOBS_FILE, ...GATEWAYS.map(answersFile)].map((file) =>
  openQueue(file, { size: 65536, mode: FILE_MODE }),
);
const results = openBlockStorage(RESULTS_FILE, { blockSize: BLOCK_SIZE, mode: FILE_MODE });

const say = (text) => console.log(`check: ${text}`);
const read = (service, name) => Number(counters.get(counterOf(service, name)));
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

const killsOf = (service) => read(service, "starts") - 1;
const handled = () => sum(GATEWAYS.map((gateway) => read(gateway, "handled")));

/** The number of messages that a service has pushed and popped. */
const operationsOf = (service) =>
  service === WORKER ? 2 * handled() : read(service, "sent") + read(service, "settled");

let held = Boolean(process.env.HOLD);
process.on("SIGUSR2", () => {
  held = false;
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));

/** Prints the services' progress until `done`; ends the program if there is none. */
async function watch(done) {
  let before = "";
  let changed = Date.now();
  while (!done()) {
    const now = SERVICES.map((service) => `${service} ${operationsOf(service)}`).join(", ");
    if (now !== before) {
      say(`messages so far: ${now}`);
      before = now;
      changed = Date.now();
    } else if (Date.now() - changed > STALLED_MS) {
      say(`nothing has moved for ${STALLED_MS / 1000} seconds; counters: ${[...counters].join(" ")}`);
      process.exit(1);
    }
    await sleep(250);
  }
}

/** A sentence for each fault. */
function* findings() {
  for (const service of SERVICES) {
    for (const wrong of ["lost", "doubled"]) {
      if (read(service, wrong) > 0) yield `${read(service, wrong)} messages from ${service} were ${wrong}`;
    }
    // A kill leaves one message in doubt at each end of each queue.
    const inDoubt =
      service === WORKER
        ? sum(GATEWAYS.map(killsOf)) + GATEWAYS.length * killsOf(WORKER)
        : killsOf(service) + killsOf(WORKER);
    if (read(service, "again") > inDoubt)
      yield `${read(service, "again")} messages from ${service} came again, after kills that explain ${inDoubt}`;
  }
  for (const gateway of GATEWAYS) {
    const [sent, handled, settled] = ["sent", "handled", "settled"].map((name) => read(gateway, name));
    if (sent !== handled || sent !== settled)
      yield `${gateway} sent ${sent} requests; ${handled} were handled and ${settled} settled`;
    if (sent < share) yield `${gateway} sent ${sent} requests, fewer than its share`;
  }
  if (read(WORKER, "limited") === 0) yield "the rate limiter never saw that tenant 0 was over its share";
  yield* requestFindings();
  yield* blockFindings();
}

/** The tenants' counters have each acknowledged request once. A kill may leave one more, without its request. */
function* requestFindings() {
  const expected = new Array(TENANTS).fill(0);
  for (const gateway of GATEWAYS) for (let n = 1; n <= read(gateway, "sent"); n++) expected[tenantOf(n)]++;
  const more = expected.map((count, tenant) => Number(counters.get(tenant)) - count);
  for (const [tenant, count] of more.entries())
    if (count < 0) yield `${-count} requests of tenant ${tenant} were not counted`;
  const kills = sum(GATEWAYS.map(killsOf));
  if (sum(more) > kills) yield `the counters are ${sum(more)} too high, after ${kills} kills of gateways`;
}

/** All blocks are free, except one for each kill of the worker between storing it and pushing the answer. */
function* blockFindings() {
  const left = [...results.entries()];
  for (const [address, block] of left) {
    const request = requestOf(block);
    if (request === undefined || request.n > read(request.gateway, "sent"))
      yield `block ${address} holds no result`;
    results.free(address);
  }
  if (left.length > killsOf(WORKER))
    yield `${left.length} blocks were left, after ${killsOf(WORKER)} kills of ${WORKER}`;
}

function table() {
  const rows = SERVICES.map((service) => [
    service,
    operationsOf(service),
    killsOf(service),
    read(service, "lost"),
    read(service, "doubled"),
  ]);
  return [
    ["service", "operations", "kills survived", "lost", "doubled"],
    ["---", "---:", "---:", "---:", "---:"],
    ...rows,
  ]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}

counters.set(CLOSING, 0);
say(`waiting until each gateway has the answers to ${share} requests`);
await watch(() => GATEWAYS.every((gateway) => read(gateway, "settled") >= share) && !held);
say("closing: no more requests, please");
counters.set(CLOSING, 1);
await watch(
  () =>
    GATEWAYS.every((gateway) => read(gateway, "closed") === 1) && queues.every((queue) => queue.isEmpty()),
);

const wrong = [...findings()];
const again = sum(SERVICES.map((service) => read(service, "again")));
say(`${again} messages came again after a kill and were dropped, as they should be`);
for (const finding of wrong) say(`WRONG: ${finding}`);
say(wrong.length === 0 ? "everything is accounted for" : "not everything is accounted for");
console.log(`\n${table()}\n`);
process.exitCode = wrong.length === 0 ? 0 : 1;
