// Which counter of the services' shared file means what. The gateways and `healthy` have the same numbers.

/** The services that share the files. Their places in the counters follow this order. */
const PLACES = ["beam-nif", "beam-port", "node", "c-musl"];
export const WORKER = "node";
/** Those that take part. */
export const GATEWAYS = (process.env.GATEWAYS ?? "beam-nif,beam-port,c-musl").split(",");
export const SERVICES = [...GATEWAYS, WORKER];

export const placeOf = (service) => PLACES.indexOf(service);
export const serviceAt = (place) => PLACES[place];

/** Counters 0 to 7: requests of each tenant. The gateways add to them; the worker reads them as a rate limiter does. */
export const TENANTS = 8;
/** Set to 1 by `check` when no more requests are to be taken in. */
export const CLOSING = 8;

const FIRST_ROW = 9;
const ROW = [
  /** How often the service was started. */
  "starts",
  /** When the service was last seen at work, in seconds since 1970. */
  "heartbeat",
  /** Gateway: its last request whose job is in the queue for certain. */
  "sent",
  /** Gateway: its last request that the worker has answered. The worker writes it. */
  "handled",
  /** Gateway: its last request whose answer it has taken. */
  "settled",
  /** Worker: jobs that it refused because the tenant was over its share. */
  "limited",
  /** Messages from this service that came again because somebody was killed, and were dropped by the receiver. */
  "again",
  /** Messages from this service that never came. */
  "lost",
  /** Messages from this service that came twice although nobody was killed. */
  "doubled",
  /** Gateway: 1 when it was told to close and everything that it sent is settled. */
  "closed",
];

export const COUNTERS = FIRST_ROW + ROW.length * PLACES.length;

/** The counter of a service, by one of the names above. */
export function counterOf(service, name) {
  const place = ROW.indexOf(name);
  const row = placeOf(service);
  if (place < 0 || row < 0) throw new Error(`no counter ${name} of ${service}`);
  return FIRST_ROW + ROW.length * row + place;
}

/** Whose request number `n` of a gateway is. Every second one is tenant 0's, who is over every sensible limit. */
export const tenantOf = (n) => (n % 2 === 0 ? 0 : 1 + (((n - 1) / 2) % (TENANTS - 1)));

/** Every process makes the files it finds missing, readable and writable for the group that the services share. */
export const FILE_MODE = 0o660;
export const BLOCK_SIZE = 32;

/** Where a file of the services is. */
export const inFolder = (name) => `${process.env.FOLDER ?? "/shared"}/${name}`;
export const COUNTERS_FILE = inFolder("traffic.counters");
export const JOBS_FILE = inFolder("jobs.queue");
export const RESULTS_FILE = inFolder("results.blocks");
export const answersFile = (gateway) => inFolder(`answers-${gateway}.queue`);
