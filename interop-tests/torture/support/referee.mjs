// Prints the contents of the players' queue and storage as JSON: producer and number of each message; address, player and
// number of each block. Usage: referee.mjs FOLDER
import { join } from "node:path";
import { openBlockStorage, openQueue } from "emmap";

const [folder] = process.argv.slice(2);
const queue = openQueue(join(folder, "queue"));
const storage = openBlockStorage(join(folder, "blocks"));
const messages = Array.from(queue, ({ elements: [producer, number] }) => [producer, number]);
const blocks = Array.from(storage, ([address, block]) => [
  address,
  block.readUInt32LE(0),
  block.readUInt32LE(4),
]);
process.stdout.write(JSON.stringify({ messages, blocks }));
