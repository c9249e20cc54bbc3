// A Node program that asks prices.exs, an Elixir service, what something costs.
//
//   node client.mts /tmp/prices shop apple 3
//
// `shop` names the program's queue of answers. Each of several programs that ask at the same time needs a name of its own.
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { EMPTY, openQueue } from "emmap";
import { atom, tuple } from "emmap/etf";

const DEADLINE_MS = 10_000;

const [folder, client, item, quantity] = process.argv.slice(2);
if (folder === undefined || client === undefined || item === undefined || quantity === undefined) {
  console.error("usage: node client.mts FOLDER NAME ITEM QUANTITY");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

/** The service's answer in Node: a tuple is an array, and an atom its name. */
type Outcome = ["ok", { quantity: number; item: string; total: number }] | ["error", string];
type Answer = [number: number, outcome: Outcome];

const requests = openQueue(join(folder, "requests.q"));
const answers = openQueue<Answer>(join(folder, `answers-${basename(client)}.q`), { values: "json" });

/** Resolves to the outcome of request `number`. It drops answers to earlier requests that nobody waits for any more. */
async function receive(number: number): Promise<Outcome> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await answers.receive({ timeout: Math.max(0, deadline - Date.now()) });
    if (answer === EMPTY) throw new Error("no answer: is prices.exs running?");
    if (answer[0] === number) return answer[1];
  }
}

try {
  const number = Date.now();
  requests.push(tuple(atom("price"), client, number, item, Number(quantity)));
  const [outcome, result] = await receive(number);
  if (outcome !== "ok") throw new Error(result);
  console.log(`${result.quantity} × ${result.item}: ${result.total}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  requests.close();
  answers.close();
}
