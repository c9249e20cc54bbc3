// The victim's files, seen through a testee: how to open one, the operations on it, and the contents to expect.

const MESSAGE_SIZE = 24;
const BLOCK_SIZE = 8;
const LEVELS = 2;
export const CAPACITY = 64 ** LEVELS;
const QUEUE_SIZE = 16 + 10 * 32;

/** A message as the victim makes it: a number, and bytes that follow from the number, so that a torn message shows. */
function bytesOf(number, size) {
  const bytes = Buffer.alloc(size);
  bytes.writeBigUInt64LE(BigInt(number));
  for (let i = 8; i < size; i++) bytes[i] = (number * 31 + i) & 255;
  return bytes.toString("hex");
}

export const message = (number) => bytesOf(number, MESSAGE_SIZE);
export const block = (number) => bytesOf(number, BLOCK_SIZE);

/** The number in a message or block; NaN if it is torn. */
export function numberIn(hex) {
  const number = Number(Buffer.from(hex, "hex").readBigUInt64LE());
  return hex === bytesOf(number, hex.length / 2) ? number : Number.NaN;
}

const words = (answer) => (answer === "eof" ? [] : answer.split(" ").slice(1));

/** How many numbers from `first` to below `next` are missing. At least 1 if `found` has others, or another order. */
function amiss(found, { first, next }) {
  const missing = Array.from({ length: next - first }, (_, i) => first + i).filter((n) => !found.includes(n));
  const inOrder = found.length === next - first && found.every((number, i) => number === first + i);
  return inOrder ? 0 : Math.max(1, missing.length);
}

/** As `amiss`, if some of the begun operations may be done. */
export function amissBetween(found, { acknowledged, begun }) {
  let least = Number.POSITIVE_INFINITY;
  for (let first = acknowledged.first; first <= begun.first; first++)
    for (let next = acknowledged.next; next <= begun.next; next++)
      least = Math.min(least, amiss(found, { first, next }));
  return least;
}

const between = (count, { acknowledged, begun }) =>
  Math.max(acknowledged.count - count, count - begun.count, 0);

/** Removes all messages and returns them. */
export async function popAll(testee, name = "f") {
  return words(await testee.must(`queue_pop_many ${name} 100000`, /^(ok|eof)/)).map(numberIn);
}

/** Numbers by their addresses. */
export async function walkAll(testee, name = "f") {
  const answer = words(await testee.must(`blocks_walk ${name}`, /^(ok|eof)/));
  return Array.from({ length: answer.length / 2 }, (_, i) => [
    Number(answer[2 * i]),
    numberIn(answer[2 * i + 1]),
  ]);
}

/** The number of blocks that are missing, at another address, there twice, or unknown. */
function astray(found, { stored, pending }) {
  const numbers = found.map(([, number]) => number);
  const twice = numbers.length - new Set(numbers).size;
  const strange = found.filter(
    ([address, number]) => stored[number] !== address && !pending.includes(number),
  );
  const missing = Object.keys(stored).filter((number) => !numbers.includes(Number(number)));
  return twice + strange.length + missing.length;
}

/**
 * The functions of each kind. `open` makes the request that opens a file under the name f. `look` makes a request that waits
 * for the process that is changing the file. `recover` does the work of the victim's successor, and returns how many things
 * are lost or doubled. `use` shows that the file works. Both leave the file empty.
 */
export const STRUCTURES = {
  file: {
    title: "a plain file",
    open: (path) => `open f ${path} read write create shared size=4096`,
    look: (name) => `size ${name}`,
    async recover(testee, report, name = "f") {
      const [, value] = (await testee.must(`patomic_add ${name} 8 0`)).split(" ");
      return between(Number(value), report);
    },
    async use(testee) {
      await testee.must("patomic_add f 8 1");
    },
  },
  counters: {
    title: "counters",
    open: (path) => `counters_open f ${path} 8`,
    look: (name) => `counter_get ${name} 0`,
    async recover(testee, report, name = "f") {
      const [, value] = (await testee.must(`counter_add ${name} 1 0`)).split(" ");
      return between(Number(value), report);
    },
    async use(testee) {
      await testee.must("counter_add f 1 1");
    },
  },
  queue: {
    title: "a queue",
    open: (path) => `queue_open f ${path} size=${QUEUE_SIZE}`,
    look: (name) => `queue_length ${name}`,
    async recover(testee, { acknowledged, begun }, name = "f") {
      const found = await popAll(testee, name);
      return Math.min(amiss(found, acknowledged), amiss(found, begun));
    },
    async use(testee) {
      await testee.must(`queue_push f ${message(77)}`);
      await testee.must("queue_pop f", new RegExp(`^ok ${message(77)}$`));
    },
  },
  blocks: {
    title: "a block storage",
    open: (path) => `blocks_open f ${path} ${BLOCK_SIZE} ${LEVELS} size=40`,
    look: (name) => `blocks_count ${name}`,
    async recover(testee, report, name = "f") {
      const found = await walkAll(testee, name);
      if (found.length > 0)
        await testee.must(`block_free_many ${name} ${found.map(([address]) => address).join(" ")}`);
      return astray(found, report);
    },
    async use(testee) {
      const [, address] = (await testee.must(`block_store f ${block(77)}`)).split(" ");
      await testee.must(`block_free f ${address}`);
    },
  },
};
