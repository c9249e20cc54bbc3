// A Node program that asks prices.exs, an Elixir service, what something costs.
//
//   node client.mjs /tmp/prices shop apple 3
//
// `shop` is the name of its queue of answers: programs that ask at the same time have one each.
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { EMPTY, openQueue } from "emmap";
import { atom, tuple } from "emmap/etf";

const DEADLINE_MS = 10_000;

const [folder, client, item, quantity] = process.argv.slice(2);
if (quantity === undefined) {
  console.error("usage: node client.mjs FOLDER NAME ITEM QUANTITY");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const requests = openQueue(join(folder, "requests.q"));
// Elixir's maps with atoms for keys as objects, its binaries as strings.
const answers = openQueue(join(folder, `answers-${basename(client)}.q`), {
  decode: { atoms: "string", binaries: "string", maps: "object" },
});

/** Resolves to the answer to request `number`; passes over those to requests whose asker did not wait for them. */
async function receive(number) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await answers.receive({ timeout: Math.max(0, deadline - Date.now()) });
    if (answer === EMPTY) throw new Error("no answer: is prices.exs running?");
    if (answer.elements[0] === number) return answer.elements[1];
  }
}

try {
  const number = Date.now();
  requests.push(tuple(atom("price"), client, number, item, Number(quantity)));
  const [outcome, result] = await receive(number);
  if (outcome !== "ok") throw new Error(result);
  console.log(`${result.quantity} × ${result.item}: ${result.total}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  requests.close();
  answers.close();
}
