// The codec beside erlang_js, etf.js and JSON, on the same messages in the same process.
//
//   npm run build && npm ci --prefix bench && node bench/node/etf.mjs [--quick]
//
// JSON has no atoms, tuples, binaries or pids: its messages have strings and arrays instead.

import { createRequire } from "node:module";
import { atom, decode, encode, Float, tuple } from "../../dist/etf/index.mjs";
import { section } from "../harness/records.mjs";
import { kept, QUICK, race } from "../harness/rounds.mjs";

const require = createRequire(import.meta.url);
const { Erlang } = require("erlang_js");
const etfjs = require("etf.js");

// --- Messages: a description that each contestant turns into its own values -----------------------------------

const PID = Buffer.from("58770d6e6f6e6f6465406e6f686f73740000005c0000000000000000", "hex");
const REF = Buffer.from("5a0003770d6e6f6e6f6465406e6f686f7374000000000001f7047272b400dd297d25", "hex");
const a = (name) => ({ atom: name });
const t = (...elements) => ({ tuple: elements });
const m = (...pairs) => ({ map: pairs });
const f = (float) => ({ float });

const order = m(
  [a("id"), 81274],
  [a("customer"), m([a("name"), "Grace Hopper"], [a("email"), "grace@example.org"], [a("vip"), true])],
  [
    a("items"),
    [
      m([a("sku"), "A-100"], [a("count"), 2], [a("price"), f(19.99)]),
      m([a("sku"), "B-205"], [a("count"), 1], [a("price"), f(250.5)]),
      m([a("sku"), "C-007"], [a("count"), 12], [a("price"), f(0.35)]),
    ],
  ],
  [a("placed"), 1700000000123],
);

const MIX = {
  event: t(a("counter"), "requests.total", 42, 1700000000123),
  call: t(a("$gen_call"), t({ pid: PID }, { ref: REF }), t(a("get"), "user:81274")),
  job: t(a("job"), 81274, a("send_mail"), [t(a("to"), "grace@example.org"), t(a("retries"), 3)], a("high")),
  log: t(
    a("log"),
    a("warning"),
    1700000000123,
    "connection to upstream 10.0.0.7:8080 timed out after 5000 ms",
    [t(a("module"), a("gateway")), t(a("line"), 214)],
  ),
  metrics: t(a("metrics"), "node-7", [
    t(a("cpu"), f(0.73)),
    t(a("memory"), 734003200),
    t(a("load"), f(1.25)),
    t(a("run_queue"), 3),
    t(a("io_wait"), f(0.015)),
  ]),
  order,
};

const MORE = {
  "20 orders": Array.from({ length: 20 }, () => order),
  "1000 small integers": Array.from({ length: 1000 }, (_, i) => (i * 7919) % 100000),
  "1000 floats": Array.from({ length: 1000 }, (_, i) => f(i / 7 + 0.1)),
  "1000 short strings": Array.from({ length: 1000 }, (_, i) => `key-${i}`),
  "1000 atoms": Array.from({ length: 1000 }, (_, i) => a(["ok", "error", "timeout", "undefined"][i % 4])),
  "16 KiB of text": "All work and no play makes Jack a dull boy. ".repeat(373).slice(0, 16384),
};

const big = (value) => typeof value === "number" && !Number.isSafeInteger(value);

function ours(d) {
  if (Array.isArray(d)) return d.map(ours);
  if (typeof d !== "object") return d;
  if ("atom" in d) return atom(d.atom);
  if ("tuple" in d) return tuple(...d.tuple.map(ours));
  if ("map" in d) return new Map(d.map.map(([k, v]) => [ours(k), ours(v)]));
  if ("float" in d) return Number.isInteger(d.float) ? new Float(d.float) : d.float;
  return decode(Buffer.concat([Buffer.from([131]), d.pid ?? d.ref]));
}

function json(d) {
  if (Array.isArray(d)) return d.map(json);
  if (typeof d !== "object") return d;
  if ("atom" in d) return d.atom;
  if ("tuple" in d) return d.tuple.map(json);
  if ("map" in d) return Object.fromEntries(d.map.map(([k, v]) => [json(k), json(v)]));
  if ("float" in d) return d.float;
  return d.pid ? "<0.92.0>" : "#Ref<0.3710744868.3020013236.128836>";
}

function erlangJs(d) {
  if (Array.isArray(d)) return new Erlang.OtpErlangList(d.map(erlangJs));
  if (typeof d === "string") return new Erlang.OtpErlangBinary(d);
  // It encodes integers above 32 bits as other numbers. So it gets floats instead.
  if (typeof d !== "object") return big(d) ? d + 0.5 : d;
  if ("atom" in d) return new Erlang.OtpErlangAtom(d.atom);
  if ("tuple" in d) return d.tuple.map(erlangJs);
  if ("map" in d) return new Erlang.OtpErlangMap(new Map(d.map.map(([k, v]) => [erlangJs(k), erlangJs(v)])));
  if ("float" in d) return d.float;
  let value;
  Erlang.binary_to_term(Buffer.concat([Buffer.from([131]), d.pid ?? d.ref]), (_, term) => {
    value = term;
  });
  return value;
}

// etf.js writes no tuples and no pids. So it gets lists and strings instead.
function etfJs(d) {
  if (Array.isArray(d)) return d.map(etfJs);
  if (typeof d !== "object") return d;
  if ("atom" in d) return etfjs.Atom(d.atom);
  if ("tuple" in d) return d.tuple.map(etfJs);
  if ("map" in d) return new Map(d.map.map(([k, v]) => [etfJs(k), etfJs(v)]));
  if ("float" in d) return d.float;
  return json(d);
}

// --- Contestants ----------------------------------------------------------------------------------------------

const keep = (error, value) => {
  if (error) throw error;
  kept.value = value;
};

const both = (one, other) => () => {
  one();
  other();
};

/** The same term as OTP before release 26 encodes it: atoms are ATOM_EXT, not SMALL_ATOM_UTF8_EXT. */
function withOldAtoms(bytes, description) {
  const names = new Set(JSON.stringify(description).match(/(?<="atom":")[^"]+/g));
  let text = bytes.toString("latin1");
  for (const name of names) {
    const length = String.fromCharCode(name.length);
    text = text.replaceAll(`w${length}${name}`, `d\0${length}${name}`);
  }
  return Buffer.from(text, "latin1");
}

function contestants(description, oldAtoms = false) {
  const [ourTerm, jsonValue, erlangTerm, etfTerm] = [ours, json, erlangJs, etfJs].map((f) => f(description));
  const bytes = oldAtoms ? withOldAtoms(encode(ourTerm), description) : encode(ourTerm);
  const jsonBytes = Buffer.from(JSON.stringify(jsonValue));
  const runs = {
    encode: {
      emmap: () => encode(ourTerm),
      JSON: () => Buffer.from(JSON.stringify(jsonValue)),
      erlang_js: () => Erlang.term_to_binary(erlangTerm, keep),
      "etf.js": () => etfjs.pack(etfTerm),
    },
    decode: {
      emmap: () => decode(bytes),
      JSON: () => JSON.parse(jsonBytes),
      erlang_js: () => Erlang.binary_to_term(bytes, keep),
      "etf.js": () => etfjs.unpack(bytes),
    },
  };
  runs.both = Object.fromEntries(
    Object.keys(runs.encode).map((name) => [name, both(runs.encode[name], runs.decode[name])]),
  );
  return runs;
}

function works(run) {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

const PEERS = ["JSON", "erlang_js", "etf.js"];
const LIMITS = { JSON: "at least 0.5", erlang_js: "at least 5" };
const records = section("The codec");

/** Races our codec against its peers on each message; `settings` are those of a race. */
function compare(kinds, direction, settings) {
  const able = ["emmap", ...PEERS].filter((peer) => kinds.every((kind) => works(kind[direction][peer])));
  const all = able.map((peer) => {
    const runs = kinds.map((kind) => kind[direction][peer]);
    const contestant = (times) => {
      for (let i = 0; i < times; i++) for (const run of runs) kept.value = run();
    };
    return [peer, contestant];
  });
  return { able, ratio: race(Object.fromEntries(all), settings) };
}

function measure(name, kinds, direction, limits = {}) {
  const { able, ratio } = compare(kinds, direction, { rounds: 51, warmMs: 150 });
  for (const peer of PEERS) {
    const operation = `${direction}, ${name}`;
    if (!able.includes(peer)) records.note(`${peer} cannot do: ${operation}.`);
    else
      records.ratio(operation, ratio(peer, "emmap"), peer, {
        sense: "times as fast",
        ...(limits[peer] && { limit: limits[peer] }),
      });
  }
}

const all = Object.fromEntries(
  Object.entries({ ...MIX, ...MORE }).map(([kind, message]) => [kind, contestants(message)]),
);
const mix = Object.keys(MIX).map((kind) => all[kind]);
for (const direction of ["encode", "decode", "both"]) measure("message mix", mix, direction, LIMITS);
const oldMix = Object.values(MIX).map((message) => contestants(message, true));
measure("message mix from OTP before 26", oldMix, "decode");
for (const [name, kind] of Object.entries(all))
  for (const direction of ["encode", "decode"]) measure(name, [kind], direction);

// --- By size --------------------------------------------------------------------------------------------------

const ORDERS = QUICK ? [1, 16] : [1, 4, 16, 64, 256, 1024];
const TEXTS = QUICK ? [16, 4096] : [16, 256, 4096, 65536, 1 << 20];
const sized = {
  "lists of orders": ORDERS.map((count) => Array.from({ length: count }, () => order)),
  text: TEXTS.map((length) =>
    "All work and no play makes Jack a dull boy. ".repeat(length / 44 + 1).slice(0, length),
  ),
};
for (const [name, messages] of Object.entries(sized)) {
  for (const direction of ["encode", "decode"]) {
    const lines = new Map(PEERS.map((peer) => [peer, []]));
    for (const message of messages) {
      const { able, ratio } = compare([contestants(message)], direction, { rounds: 31, warmMs: 100 });
      const { length } = encode(ours(message));
      for (const peer of able.slice(1)) lines.get(peer).push([length, ratio(peer, "emmap")]);
    }
    for (const [peer, points] of lines) {
      if (points.length === 0) continue;
      records.series(`${direction}: ${name}, by size`, peer, points, {
        x: "bytes of the external term format",
        y: "times emmap/etf",
      });
    }
  }
}
records.note(
  "erlang_js decodes a binary as a view, which keeps all the encoded bytes in memory; emmap/etf makes a copy or a string.",
);
records.note(
  "Each contestant gets values that it can write. erlang_js writes wrong numbers for integers above 32 bits, and gets floats instead. etf.js gets lists instead of tuples, and strings instead of pids and references.",
);
