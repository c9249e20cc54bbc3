// emmap serve: a live page, JSON, and the exposition for Prometheus.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { lstatSync, realpathSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import type { InHand } from "../../delivery.js";
import { Failure, missing, Status } from "../failure.js";
import { inHandOf, insideOf } from "../inside.js";
import { inspect } from "../inspect.js";
import { print } from "../output.js";
import { processesOf } from "../processes.js";
import { type Sample, Sampler } from "../sample.js";
import { json } from "../text.js";
import { plainSample } from "../verbs/top.js";
import { History } from "./history.js";
import { Metrics } from "./metrics.js";
import { page } from "./page.js";

interface Options {
  port: string;
  host: string;
  token?: string;
  recursive?: boolean;
}

/** The pause between two looks, in ms. */
const PAUSE = 2000;
/** Pages that are open at the same time. */
const READERS = 100;
/** A page that reads no further is left behind with so many bytes. */
const BEHIND = 1 << 20;
/** The most messages, blocks or counters of a look into a file, and the characters of each. */
const SHOWN = 50;
const LONGEST = 2000;
const COOKIE = "emmap_token";

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A client can send what is no address, such as "//". */
function addressOf({ url = "/" }: IncomingMessage): URL {
  try {
    return new URL(url, "http://localhost");
  } catch {
    throw new Refusal(400, "this is no address");
  }
}

/** The cookie's token; undefined: there is none, or not as this server sets it. */
function tokenOf(cookies = ""): string | undefined {
  try {
    const found = new RegExp(`(?:^|; )${COOKIE}=([^;]*)`).exec(cookies)?.[1];
    return found === undefined ? undefined : decodeURIComponent(found);
  } catch {
    return undefined;
  }
}

class Server {
  readonly #sampler: Sampler;
  readonly #history = new History();
  readonly #metrics = new Metrics();
  readonly #readers = new Set<ServerResponse>();
  #samples: Sample[] = [];

  constructor(
    paths: readonly string[],
    recursive: boolean | undefined,
    readonly token: string | undefined,
    readonly isLocal: boolean,
  ) {
    this.#sampler = new Sampler(paths, recursive);
    this.look();
  }

  look(): void {
    this.#samples = this.#sampler.look();
    this.#history.note(this.#samples);
    this.#metrics.note(this.#samples);
    if (this.#readers.size === 0) return;
    const text = `data: ${json(this.#samples.map(plainSample))}\n\n`;
    for (const reader of this.#readers) {
      if (reader.writableLength > BEHIND) reader.destroy();
      else reader.write(text);
    }
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = addressOf(request);
      this.#admit(request, response, url);
      if (response.writableEnded) return;
      if (request.method !== "GET" && request.method !== "HEAD") throw new Refusal(405, "only GET");
      await this.#route(url, request, response);
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500;
      if (!response.headersSent) response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
      response.end(`${error instanceof Refusal ? error.message : "failed"}\n`);
    }
  }

  /** Refuses strangers. With a token in the address it answers itself: the browser keeps the token, out of sight. */
  #admit(request: IncomingMessage, response: ServerResponse, url: URL): void {
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("referrer-policy", "no-referrer");
    response.setHeader("cache-control", "no-store");
    response.setHeader("cross-origin-resource-policy", "same-origin");
    // A name that an attacker lets point to this machine must not open the page to that name's scripts.
    const host = (request.headers.host ?? "")
      .toLowerCase()
      .replace(/:\d+$/, "")
      .replace(/^\[(.*)\]$/, "$1");
    if (this.isLocal && !isLoopback(host)) throw new Refusal(403, "this page is for this machine");
    if (this.token === undefined) return;
    const given = url.searchParams.get("token");
    const bearer = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? "")?.[1];
    const offered = given ?? bearer ?? tokenOf(request.headers.cookie);
    if (offered === undefined || !timingSafeEqual(digest(offered), digest(this.token)))
      throw new Refusal(401, "a token is needed: /?token=TOKEN, or the header Authorization: Bearer TOKEN");
    if (given === null || url.pathname !== "/") return;
    response.writeHead(303, {
      location: "/",
      "set-cookie": `${COOKIE}=${encodeURIComponent(given)}; HttpOnly; SameSite=Strict; Path=/`,
    });
    response.end();
  }

  async #route(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (url.pathname) {
      case "/": {
        const nonce = randomBytes(16).toString("base64");
        response.setHeader(
          "content-security-policy",
          `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; ` +
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
        response.setHeader("content-type", "text/html; charset=utf-8");
        response.end(page(this.#samples, nonce));
        return;
      }
      case "/events":
        return this.#follow(request, response);
      case "/metrics":
        response.setHeader("content-type", this.#metrics.contentType);
        response.end(await this.#metrics.text(this.#samples));
        return;
      case "/api/files":
        return this.#json(response, this.#samples.map(plainSample));
      case "/api/history":
        return this.#json(
          response,
          Object.fromEntries(this.#samples.map(({ path }) => [path, this.#history.of(path)])),
        );
      case "/api/file":
        return this.#json(response, this.#file(url.searchParams));
      default:
        throw new Refusal(404, "there is no such page");
    }
  }

  #json(response: ServerResponse, value: unknown): void {
    response.setHeader("content-type", "application/json; charset=utf-8");
    response.end(`${json(value)}\n`);
  }

  #follow(request: IncomingMessage, response: ServerResponse): void {
    if (this.#readers.size >= READERS) throw new Refusal(503, "too many pages are open");
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`retry: ${PAUSE}\ndata: ${json(this.#samples.map(plainSample))}\n\n`);
    this.#readers.add(response);
    request.on("close", () => this.#readers.delete(response));
  }

  /** All about a file of the list, with the first things in it. No other path is looked at. */
  #file(query: URLSearchParams): object {
    const path = query.get("path") ?? "";
    if (!this.#samples.some((each) => each.path === path) || !isPlace(path))
      throw new Refusal(404, "this file is not in the list");
    const form = query.get("as") === "json" ? "json" : "erlang";
    const found = inspect(path, "brief");
    let shown: string[] = [];
    let failed: string | undefined;
    let deliveries: InHand[] = [];
    try {
      if ((found.in_hand ?? 0) + (found.released ?? 0) > 0) deliveries = inHandOf(path).slice(0, SHOWN);
      shown = insideOf(found.kind).peek(path, SHOWN, form);
    } catch (error) {
      failed = (error as Error).message;
    }
    const inside = shown.map((each) => (each.length > LONGEST ? `${each.slice(0, LONGEST)}…` : each));
    return {
      path,
      ...found,
      processes: processesOf(path) ?? [],
      deliveries,
      inside,
      ...(failed === undefined ? {} : { failed }),
    };
  }
}

/** Whether the path still names a file itself, and not a link to one. */
function isPlace(path: string): boolean {
  try {
    return lstatSync(path).isFile() && realpathSync(path) === path;
  } catch {
    return false;
  }
}

/** The places of the paths, without symbolic links: nothing outside of them is served later on. */
function places(paths: readonly string[]): string[] {
  return (paths.length === 0 ? ["."] : paths).map((path) => {
    try {
      return realpathSync(path);
    } catch {
      throw missing(path);
    }
  });
}

const { EMMAP_TOKEN } = process.env;

export async function serve(paths: string[], options: Options): Promise<void> {
  const port = Number(options.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Failure(`${options.port} is no port: it is from 0 to 65535`, Status.usage);
  const isLocal = isLoopback(options.host);
  const given = options.token ?? EMMAP_TOKEN;
  if (given === "") throw new Failure("the token is empty", Status.usage);
  const token = given ?? (isLocal ? undefined : randomBytes(18).toString("base64url"));
  const server = new Server(places(paths), options.recursive, token, isLocal);
  const listener = createServer((request, response) => void server.answer(request, response));
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, options.host, resolve);
  });
  const address = listener.address() as AddressInfo;
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  print(
    `http://${host}:${address.port}/${given === undefined && token !== undefined ? `?token=${token}` : ""}`,
  );
  setInterval(() => {
    try {
      server.look();
    } catch {
      // A folder is gone, perhaps for a moment.
    }
  }, PAUSE);
  const end = (): void => process.exit(Status.ok);
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}
