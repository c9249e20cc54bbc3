import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { decode, encode, tuple } from "emmap/etf";

const program = fileURLToPath(
  new URL("../../../erlang/_build/default/lib/emmap/priv/emmap_port", import.meta.url),
);

/** If a frame is longer, only its length is kept. */
const KEPT = 1 << 20;

/** A port program whose client is this process; see docs/port-protocol.md. */
export class PortClient {
  #child;
  #pieces = [];
  #gathered = 0;
  /** Bytes of a long frame that have not come yet. */
  #skipping = 0;
  #frames = [];
  #waiting = [];
  #closed = false;
  /** The program's output for people. */
  errors = "";
  /** Resolves to the signal or status by which the program ended. */
  ended;

  constructor() {
    this.#child = spawn(program, [], { stdio: "pipe" });
    this.#child.stdin.on("error", () => {}); // it has ended
    this.#child.stdout.on("data", (data) => this.#gather(data));
    this.#child.stderr.on("data", (text) => {
      this.errors += text;
    });
    this.ended = new Promise((resolve) =>
      this.#child.on("close", (status, signal) => {
        resolve(signal ?? status);
        this.#closed = true;
        for (const answer of this.#waiting.splice(0)) answer(null);
      }),
    );
  }

  get pid() {
    return this.#child.pid;
  }

  #gather(data) {
    const skipped = Math.min(this.#skipping, data.length);
    this.#skipping -= skipped;
    if (skipped === data.length) return;
    this.#pieces.push(data.subarray(skipped));
    this.#gathered += data.length - skipped;
    if (this.#gathered < 4) return;
    let bytes = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE();
      const there = bytes.length - 4;
      if (there < length && length <= KEPT) break;
      this.#arrive(length > KEPT ? length : decode(bytes.subarray(4, 4 + length)));
      this.#skipping = Math.max(0, length - there);
      bytes = bytes.subarray(4 + length);
    }
    this.#pieces = [bytes];
    this.#gathered = bytes.length;
  }

  #arrive(frame) {
    const answer = this.#waiting.shift();
    if (answer) answer(frame);
    else this.#frames.push(frame);
  }

  /** The program's next frame: its term, or the length of a long frame; null: the program has ended. */
  next() {
    if (this.#frames.length > 0) return Promise.resolve(this.#frames.shift());
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Sends bytes as they are; resolves when they have left this process. */
  write(bytes) {
    return new Promise((resolve) => this.#child.stdin.write(bytes, resolve));
  }

  request(id, ...operation) {
    return this.write(frameOf(tuple(id, tuple(...operation))));
  }

  /** The result of one operation. */
  async call(...operation) {
    void this.request(0, ...operation);
    const reply = await this.next();
    return reply === null || typeof reply === "number" ? reply : reply.elements[1];
  }

  /** Stops reading the program's output, until `resume`. */
  pause() {
    this.#child.stdout.pause();
  }

  resume() {
    this.#child.stdout.resume();
  }

  /** Closes the program's input. */
  endInput() {
    this.#child.stdin.end();
  }

  /** Closes the program's output. */
  leave() {
    this.#child.stdout.destroy();
  }

  signal(signal) {
    this.#child.kill(signal);
  }
}

export function frameOf(term) {
  const bytes = encode(term);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Gives `use` a port program that has said hello, and returns its result. The program is gone afterwards, also after an error. */
export async function withPort(use) {
  const client = new PortClient();
  try {
    await client.next();
    return await use(client);
  } finally {
    client.signal("SIGKILL");
    await client.ended;
  }
}
