// Compares the files with the logs of the players. A log's lines:
//
//   push NUMBER COUNT      pushed                       messages from NUMBER on, whose producer is the log's player
//   pop                    popped PRODUCER NUMBER       or: nothing
//   take                   taken PRODUCER NUMBER        or: nothing; then: committed
//   store NUMBER           stored ADDRESS               blocks, numbered too
//   free NUMBER            freed
//   wrong ...              the bytes read are not those that the owner wrote
//
// A player may have died after any line. Its last operation may have been done or not.

const key = (player, number) => `${player} ${number}`;

/** One player's log. */
function readLog(player, text, all) {
  let begun = null;
  for (const line of text.split("\n").slice(0, -1)) {
    const [word, ...rest] = line.split(" ");
    const [first, second] = rest.map(Number);
    if (word === "push") begun = { pushes: Array.from({ length: second }, (_, i) => key(player, first + i)) };
    else if (word === "pushed") for (const each of begun.pushes) all.pushed.add(each);
    else if (word === "taken") begun = { take: [first, second] };
    else if (word === "committed" || word === "popped") {
      const [producer, number] = word === "popped" ? [first, second] : begun.take;
      deliver(player, producer, number, all);
    } else if (word === "store") begun = { store: key(player, first) };
    else if (word === "stored") all.stored.set(begun.store, first);
    else if (word === "free") begun = { free: key(player, first) };
    else if (word === "freed") {
      all.stored.delete(begun.free);
      all.freed.add(begun.free);
    } else if (word === "wrong") all.wrong.push(`${player}: ${line}`);
    else begun = { [word]: true };
    if (/^(pushed|committed|popped|nothing|stored|freed)$/.test(word)) begun = null;
  }
  return begun ?? {};
}

function deliver(player, producer, number, all) {
  const what = key(producer, number);
  all.delivered.set(what, (all.delivered.get(what) ?? 0) + 1);
  all.last.set(producer, Math.max(all.last.get(producer) ?? -1, number));
  const before = all.order.get(key(player, producer)) ?? -1;
  if (number <= before) all.late.push({ what, text: `${player}: ${what} came after ${before}` });
  all.order.set(key(player, producer), Math.max(before, number));
}

/**
 * The faults found, a line each, and the number of players that died in the middle of an operation. `logs`: text by player;
 * `left`: producer and number of each message in the queue; `blocks`: address, player and number of each block.
 */
export function judge(logs, left, blocks) {
  const all = {
    pushed: new Set(),
    /** How often each message has come out. */
    delivered: new Map(),
    /** The number of each producer's last message that has come out, and that has come to each player. */
    last: new Map(),
    order: new Map(),
    stored: new Map(),
    freed: new Set(),
    /** Messages that came after later ones. */
    late: [],
    wrong: [],
  };
  const doubt = {
    pushes: new Set(),
    takes: new Set(),
    unknownTakes: 0,
    pops: 0,
    stores: new Set(),
    frees: new Set(),
  };
  let inTheMiddle = 0;
  for (const [player, text] of logs) {
    const begun = readLog(player, text, all);
    if (Object.keys(begun).length > 0) inTheMiddle++;
    for (const each of begun.pushes ?? []) doubt.pushes.add(each);
    if (begun.take?.length) doubt.takes.add(key(...begun.take));
    else if (begun.take) doubt.unknownTakes++;
    if (begun.pop) doubt.pops++;
    if (begun.store) doubt.stores.add(begun.store);
    if (begun.free) doubt.frees.add(begun.free);
  }
  const wrong = [...all.wrong, ...judgeMessages(all, doubt, left), ...judgeBlocks(all, doubt, blocks)];
  return { wrong, inTheMiddle, pushed: all.pushed.size, stored: all.stored.size + all.freed.size };
}

function judgeMessages({ pushed, delivered, last, late }, doubt, left) {
  const wrong = [];
  const next = new Map();
  for (const [producer, number] of left) {
    const what = key(producer, number);
    delivered.set(what, (delivered.get(what) ?? 0) + 1);
    if (number <= (last.get(producer) ?? -1))
      late.push({ what, text: `message ${what} is behind one that was pushed later` });
    if (number <= (next.get(producer) ?? -1))
      late.push({ what, text: `message ${what} is out of order in the queue` });
    next.set(producer, Math.max(next.get(producer) ?? -1, number));
  }
  // A message that a dead player had in hand is delivered again, and others may have got later ones by then. If the player died
  // before it logged the message, the log does not say which one.
  const strange = late.filter(({ what }) => !doubt.takes.has(what));
  for (const { text } of strange.slice(doubt.unknownTakes)) wrong.push(text);
  for (const [what, times] of delivered) {
    if (times > 1) wrong.push(`message ${what} is there ${times} times`);
    if (!pushed.has(what) && !doubt.pushes.has(what)) wrong.push(`message ${what} was never pushed`);
  }
  const missing = [...pushed].filter((what) => !delivered.has(what) && !doubt.takes.has(what));
  // A player that died in a pop may have removed one message, and its log does not say which.
  for (const what of missing.slice(doubt.pops)) wrong.push(`message ${what} is lost`);
  return wrong;
}

function judgeBlocks({ stored, freed }, doubt, blocks) {
  const wrong = [];
  const found = new Map();
  for (const [address, player, number] of blocks) {
    const what = key(player, number);
    if (found.has(what)) wrong.push(`block ${what} is there twice`);
    found.set(what, address);
    if (freed.has(what)) wrong.push(`block ${what} was freed`);
    else if (!stored.has(what) && !doubt.stores.has(what)) wrong.push(`block ${what} was never stored`);
  }
  for (const [what, address] of stored)
    if (found.get(what) !== address && !(doubt.frees.has(what) && !found.has(what)))
      wrong.push(`block ${what} is not at ${address}`);
  return wrong;
}
