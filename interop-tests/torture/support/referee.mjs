// What is in the queue and the storage that players have used, as JSON: of each message producer and number, of each
// block address, player and number. Usage: referee.mjs FOLDER
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
