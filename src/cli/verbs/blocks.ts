// emmap blocks
import { type BlockStorage, openBlockStorage } from "../../blocks.js";
import { Failure, Status } from "../failure.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { cut, table } from "../text.js";
import { chosen, count, integer } from "../words.js";

interface Options extends Common {
  count?: string;
  raw?: boolean;
}

const VERBS = ["ls", "get", "free"] as const;

function listSome(path: string, limit: number): Result {
  using file = openBlockStorage(path, { blockSize: 0, read: true });
  const values: { address: number; hex: string }[] = [];
  for (const [address, block] of file) {
    if (values.length >= limit) break;
    values.push({ address, hex: block.toString("hex") });
  }
  return {
    text: table(
      ["ADDRESS>", "BYTES"],
      values.map(({ address, hex }) => [String(address), cut(hex, 64)]),
    ),
    values,
  };
}

function read(file: BlockStorage, address: bigint): Buffer {
  const block = file.read(address);
  if (block === null) throw new Failure(`there is no block at ${address}`, Status.nothing);
  return block;
}

function get(path: string, addresses: readonly bigint[]): Result {
  using file = openBlockStorage(path, { blockSize: 0, read: true });
  const values = addresses.map((address) => ({
    address: Number(address),
    hex: read(file, address).toString("hex"),
  }));
  return { text: values.map(({ hex }) => hex).join("\n"), values };
}

function writeRaw(path: string, addresses: readonly bigint[]): void {
  using file = openBlockStorage(path, { blockSize: 0, read: true });
  for (const address of addresses) process.stdout.write(read(file, address));
}

function free(path: string, addresses: readonly bigint[]): Result {
  using file = openBlockStorage(path, { blockSize: 0, write: true });
  if (!file.freeMany(addresses))
    throw new Failure("not all of these blocks are there; none was freed", Status.nothing);
  return { text: "", values: addresses.map((address) => ({ freed: Number(address) })) };
}

export async function blocks(path: string, verb: string, words: string[], options: Options): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("blocks", path);
  if (what === "ls") {
    const limit = count(options.count, 10);
    return report(options, () => listSome(path, limit));
  }
  if (words.length === 0) throw new Failure(`${what} takes the addresses of blocks`, Status.usage);
  const addresses = words.map(integer);
  if (what === "free") return report({ json: options.json }, () => free(path, addresses));
  if (options.raw) return writeRaw(path, addresses);
  return report(options, () => get(path, addresses));
}
