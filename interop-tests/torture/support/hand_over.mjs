// Answers messages and changes of words, as hand_over.c does, in Node: hand_over.mjs FOLDER HOW:LANE:BASE…
// HOW is receive, messages, or words. It says "ready" when everything is open, and ends with its input.
import { join } from "node:path";
import { openCounters, openQueue } from "emmap";

/** As in hand_over.c. */
const ANSWERED = 1;
const ANSWERER_SLEPT = 3;

const [folder, ...lanes] = process.argv.slice(2);
const counts = openCounters(join(folder, "counts"), 0);

const WAYS = {
  receive: (lane, base) => answer(lane, base, (queue) => queue.receive()),
  messages(lane, base) {
    let messages;
    return answer(lane, base, async (queue) => {
      messages ??= queue.messages();
      return (await messages.next()).value;
    });
  },
  words: answerWords,
};

async function answer(lane, base, receive) {
  const [to, back] = ["to", "back"].map((kind) => openQueue(join(folder, `${lane}.${kind}`), { raw: true }));
  await Promise.resolve(); // all are open before any of them waits
  for (;;) {
    if (to.isEmpty()) counts.add(base + ANSWERER_SLEPT, 1);
    const message = await receive(to);
    counts.add(base + ANSWERED, 1);
    back.push(message);
  }
}

async function answerWords(lane, base) {
  const words = openCounters(join(folder, `${lane}.words`), 2);
  await Promise.resolve();
  for (;;) {
    const now = words.get(0);
    if (now === words.get(1)) {
      counts.add(base + ANSWERER_SLEPT, 1);
      await words.wait(0, now);
      continue;
    }
    counts.add(base + ANSWERED, 1);
    words.add(1, 1);
    words.notify(1, 1);
  }
}

process.stdin.on("end", () => process.exit()).resume();
for (const each of lanes) {
  const [how, lane, base] = each.split(":");
  WAYS[how](lane, Number(base)).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
console.log("ready");
