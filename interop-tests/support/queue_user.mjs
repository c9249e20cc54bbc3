// Pushes TIMES messages to a shared queue, and pops until the messages of all users have been popped. It writes the popped
// messages to LOG: producer and number, 32 bits each, in the order in which they came.
// Usage: queue_user.mjs FOLDER USER USERS TIMES MOST; it pushes and pops up to MOST messages at once.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters, openQueue } from "emmap";
import { tuple } from "emmap/etf";
import { ARRIVED, fillerSize, LEAD, POPPED } from "./shared_layout.mjs";

const [folder, ...numbers] = process.argv.slice(2);
const [user, users, times, most] = numbers.map(Number);
const all = BigInt(users * times);
const counters = openCounters(join(folder, "counters.bin"));
const queue = openQueue(join(folder, "shared.q"));
const popped = [];

function push(from, count) {
  const messages = Array.from({ length: count }, (_, i) => {
    const number = from + i;
    return tuple(user, number, Buffer.alloc(fillerSize(number), user));
  });
  if (count === 1) queue.push(messages[0]);
  else queue.pushMany(messages);
}

function pop(count) {
  const messages =
    count === 1 ? [queue.pop(null)].filter((message) => message !== null) : queue.popMany(count);
  for (const { elements } of messages) {
    const [producer, number, filler] = elements;
    if (!filler.equals(Buffer.alloc(fillerSize(number), producer)))
      throw new Error(`message ${number} of ${producer} is not what was pushed`);
    popped.push(producer, number);
  }
  counters.add(POPPED, messages.length);
  return messages.length;
}

counters.add(ARRIVED, 1);
while (counters.get(ARRIVED) < BigInt(users)) await sleep(1);
for (let pushed = 0; counters.get(POPPED) < all; ) {
  const count = Math.min(1 + (pushed % most), times - pushed);
  if (count > 0) push(pushed, count);
  pushed += count;
  // It pushes more than it pops at first, so that it pops messages of others too.
  if (pushed < Math.min(popped.length / 2 + LEAD, times)) continue;
  // A user that has messages left pushes them. Another user may take the last message without a notice.
  if (pop(Math.max(count, 1)) === 0 && pushed >= times) await queue.wait({ timeout: 20 });
}
queue.close();
counters.close();
writeFileSync(join(folder, `popped.${user}`), new Uint32Array(popped));
