import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A term of the BEAM: its bytes, and the minor version that wrote them (3: compressed). */
export interface Generated {
  readonly how: number;
  readonly bytes: Buffer;
}

/** A BEAM that runs etf_peer.erl. */
export class Peer {
  readonly #folder: string;
  readonly #process: ChildProcess;
  #chunks: Buffer[] = [];
  #size = 0;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "etf-peer-"));
    execFileSync("erlc", ["-o", this.#folder, join(__dirname, "etf_peer.erl")]);
    this.#process = spawn("erl", ["-noshell", "-noinput", "-pa", this.#folder, "-s", "etf_peer", "main"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#process.stdout?.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      this.#wake?.();
    });
    this.#process.once("exit", () => {
      this.#ended = true;
      this.#wake?.();
    });
    this.#process.stdin?.on("error", () => {}); // the exit says it
  }

  release(): Promise<string> {
    return this.#call("r", Buffer.alloc(0)).then(String);
  }

  async generate(seed: number, count: number, maxSize: number): Promise<Generated[]> {
    const request = Buffer.alloc(12);
    request.writeUInt32BE(seed, 0);
    request.writeUInt32BE(count, 4);
    request.writeUInt32BE(maxSize, 8);
    const terms = split(await this.#call("g", request));
    return terms.map((term) => ({ how: term[0] as number, bytes: term.subarray(1) }));
  }

  /** The indices of the terms last generated that are not `=:=` to these. */
  async differing(encoded: readonly Buffer[]): Promise<number[]> {
    const reply = await this.#call("c", joined(encoded));
    return Array.from({ length: reply.length / 4 }, (_, index) => reply.readUInt32BE(4 * index));
  }

  /** The terms, decoded and encoded again by the BEAM. */
  async echo(encoded: readonly Buffer[]): Promise<Buffer[]> {
    return split(await this.#call("e", joined(encoded)));
  }

  /** True for each term that the BEAM can decode. */
  async accepts(encoded: readonly Buffer[]): Promise<boolean[]> {
    return [...(await this.#call("a", joined(encoded)))].map((byte) => byte === 1);
  }

  async close(): Promise<void> {
    const exited = this.#ended ? undefined : once(this.#process, "exit");
    this.#process.stdin?.end();
    await exited;
    rmSync(this.#folder, { recursive: true });
  }

  async #call(operation: string, payload: Buffer): Promise<Buffer> {
    const header = Buffer.alloc(5);
    header.writeUInt32BE(payload.length + 1, 0);
    header.write(operation, 4);
    this.#process.stdin?.write(Buffer.concat([header, payload]));
    const size = (await this.#take(4)).readUInt32BE(0);
    return this.#take(size);
  }

  async #take(size: number): Promise<Buffer> {
    while (this.#size < size) {
      if (this.#ended) throw new Error("the BEAM has ended");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(size)];
    this.#size = all.length - size;
    return all.subarray(0, size);
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const size = Buffer.alloc(4);
      size.writeUInt32BE(part.length);
      return [size, part];
    }),
  );
}

function split(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    parts.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return parts;
}
