import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import express from "express";
import { rateLimit } from "express-rate-limit";
import Fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { openTable } from "../src";
import { TableStore, type TableStoreOptions } from "../src/express-rate-limit";
import { freshPath } from "./support/files";

async function serve(path: string, options: TableStoreOptions = {}, more = {}) {
  const table = openTable(path, { capacity: 1000 });
  const store = new TableStore(table, options);
  const app = express();
  app.use(
    rateLimit({
      windowMs: 3_600_000,
      limit: 5,
      standardHeaders: "draft-7",
      keyGenerator: (request) => String(request.headers["x-user"]),
      store,
      ...more,
    }),
  );
  app.get("/", (_request, response) => void response.send("served"));
  app.get("/fails", (_request, response) => void response.status(500).send("failed"));
  const server = app.listen(0);
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    table.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = async (user: string, page = "") =>
    await fetch(`http://localhost:${port}/${page}`, { headers: { "x-user": user, connection: "close" } });
  return { ask, store, table };
}

test("each client has its limit, and a restart keeps it", async () => {
  const path = freshPath();
  const first = await serve(path);
  for (let i = 0; i < 3; i++) expect((await first.ask("ann")).status).toBe(200);
  const second = await serve(path);
  const answers = [];
  for (let i = 0; i < 4; i++) answers.push((await second.ask("ann")).status);
  expect(answers).toEqual([200, 200, 429, 429]);
  const answer = await second.ask("bob");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("ratelimit")).toContain("remaining=4");
  second.store.resetKey("ann");
  expect((await first.ask("ann")).status).toBe(200);
  expect(first.store.get("ann").totalHits).toBe(1);
  second.store.resetAll();
  expect(second.table.size).toBe(0);
});

test("a client may send a key of any length, and limiters with different windows are apart", async () => {
  const path = freshPath();
  const hour = await serve(path, {}, { limit: 1 });
  const minute = await serve(path, {}, { limit: 1, windowMs: 60_000 });
  for (const user of ["", "x".repeat(64), `${"x".repeat(5000)}1`, `${"x".repeat(5000)}2`])
    for (const { ask } of [hour, minute])
      expect([(await ask(user)).status, (await ask(user)).status]).toEqual([200, 429]);
  expect(hour.table.size).toBe(8);
  hour.store.resetAll();
  expect(hour.table.size).toBe(4);
});

test("a request that is not to count is taken back, and prefixes keep limiters apart", async () => {
  const path = freshPath();
  const lenient = await serve(path, { prefix: "a " }, { skipFailedRequests: true });
  for (let i = 0; i < 10; i++) expect((await lenient.ask("ann", "fails")).status).toBe(500);
  await expect.poll(() => lenient.store.get("ann").totalHits).toBe(0);
  const strict = await serve(path, { prefix: "b ", sliding: true });
  for (let i = 0; i < 5; i++) await strict.ask("ann");
  expect((await strict.ask("ann")).status).toBe(429);
  expect((await lenient.ask("ann")).status).toBe(200);
});

test("four workers of a cluster serve together as much as the limit", async () => {
  const path = freshPath();
  const program = `${path}.cjs`;
  const require = createRequire(__filename);
  writeFileSync(
    program,
    `const cluster = require("node:cluster");
     if (cluster.isPrimary) {
       let ready = 0;
       for (let i = 0; i < 4; i++) cluster.fork();
       cluster.on("listening", (worker, { port }) => ++ready === 4 && process.send(port));
       process.on("disconnect", () => process.exit());
     } else {
       const express = require(${JSON.stringify(require.resolve("express"))});
       const { rateLimit } = require(${JSON.stringify(require.resolve("express-rate-limit"))});
       const { openTable } = require(${JSON.stringify(join(__dirname, "../dist/index.js"))});
       const { TableStore } = require(${JSON.stringify(join(__dirname, "../dist/express-rate-limit.js"))});
       const app = express();
       const store = new TableStore(openTable(${JSON.stringify(path)}, { capacity: 100 }));
       app.use(rateLimit({ windowMs: 3_600_000, limit: 50, store }));
       app.get("/", (request, response) => void response.send(String(process.pid)));
       app.listen(0);
     }`,
  );
  const primary = fork(program);
  onTestFinished(() => void primary.kill());
  const [port] = (await once(primary, "message")) as [number];
  const statuses: number[] = [];
  const workers = new Set<string>();
  for (let i = 0; i < 80; i += 8)
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const answer = await fetch(`http://localhost:${port}/`, { headers: { connection: "close" } });
        statuses.push(answer.status);
        const text = await answer.text();
        if (answer.status === 200) workers.add(text);
      }),
    );
  expect(statuses.filter((status) => status === 200)).toHaveLength(50);
  expect(workers.size).toBe(4);
}, 30_000);

test("the example's hook limits a Fastify server", async () => {
  const { RateLimiter, limitRequests } = await import("../examples/rate-limiter/limiter.mjs");
  const limiter = new RateLimiter(freshPath());
  const app = Fastify();
  app.addHook(
    "onRequest",
    limitRequests<FastifyRequest, FastifyReply>(limiter, (request) => String(request.headers["x-user"])),
  );
  app.get("/", async () => "served");
  const statuses: number[] = [];
  for (let i = 0; i < 22; i++)
    statuses.push((await app.inject({ url: "/", headers: { "x-user": "ann" } })).statusCode);
  expect(statuses.filter((status) => status === 200).length).toBeLessThan(22);
  expect(statuses.slice(0, 20)).toEqual(Array(20).fill(200));
  expect(statuses[21]).toBe(429);
  await app.close();
  limiter.close();
});

test("a mistyped option of the store is refused", () => {
  using table = openTable(freshPath(), { capacity: 10 });
  expect(() => new TableStore(table, { slidin: true } as never)).toThrow('should be "sliding"');
  expect(() => new TableStore(table, null as never)).toThrow(TypeError);
  for (const wrong of [{ prefix: 5 }, { sliding: "yes" }, { evict: 0 }])
    expect(() => new TableStore(table, wrong as never)).toThrow(TypeError);
});

test("the package exports the store", () => {
  const { exports } = JSON.parse(readFileSync(join(__dirname, "../package.json"), "utf8"));
  expect(exports["./express-rate-limit"].default).toBe("./dist/express-rate-limit.js");
});
