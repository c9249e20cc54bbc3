// Adds to shared keys, inserts and deletes keys of its own, and hits a limit. Prints how many hits were allowed.
import { openTable } from "emmap";

const [path, name, rounds, keys, limit] = process.argv.slice(2);
const table = openTable(path);
const shared = Array.from({ length: Number(keys) }, (_, i) => table.entry(`shared ${i}`));
const own = [`own ${name}`, `own ${name}, and longer than a unit of the table has room for`];
let allowed = 0;
for (let i = 0; i < Number(rounds); i++) {
  if (i % 2 === 0) shared[i % shared.length].add(0, 1);
  else table.add(`shared ${i % shared.length}`, 0, 1n);
  const key = own[i % 2];
  if (table.add(key, 0, 1) !== 0n) throw new Error("somebody has changed my key");
  if (!table.delete(key)) throw new Error("somebody has deleted my key");
  if (table.hit("the limit", { limit: Number(limit), windowMs: 2 ** 39 }).allowed) allowed++;
}
console.log(allowed);
table.close();
