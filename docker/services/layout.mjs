// The meaning of each counter in the services' shared file. The gateways and `healthy` have the same numbers.

/** The services that share the files. Their rows of counters have this order. */
const PLACES = ["beam-nif", "beam-port", "node", "c-musl"];
export const WORKER = "node";
/** The gateways that run. */
export const GATEWAYS = (process.env.GATEWAYS ?? "beam-nif,beam-port,c-musl").split(",");
export const SERVICES = [...GATEWAYS, WORKER];

export const placeOf = (service) => PLACES.indexOf(service);
export const serviceAt = (place) => PLACES[place];

/** Counters 0 to 7: requests of each tenant. The gateways add to them; the worker reads them as a rate limiter does. */
export const TENANTS = 8;
/** `check` sets it to 1 to close the gateways: they then take no more requests. */
export const CLOSING = 8;

const FIRST_ROW = 9;
const ROW = [
  /** The number of the service's starts. */
  "starts",
  /** The time of the service's last sign of life, in seconds since 1970. */
  "heartbeat",
  /** Gateway: its last request whose push has returned. */
  "sent",
  /** Gateway: its last request that the worker has answered. The worker writes this counter. */
  "handled",
  /** Gateway: its last request whose answer it has popped. */
  "settled",
  /** Worker: jobs that it refused because the tenant was over its share. */
  "limited",
  /** Messages from this service that came again after a kill; the receiver dropped them. */
  "again",
  /** Messages from this service that never came. */
  "lost",
  /** Messages from this service that came twice without a kill. */
  "doubled",
  /** Gateway: 1 when it is closing and has settled all its requests. */
  "closed",
];

export const COUNTERS = FIRST_ROW + ROW.length * PLACES.length;

/** The index of a service's counter with one of the names above. */
export function counterOf(service, name) {
  const place = ROW.indexOf(name);
  const row = placeOf(service);
  if (place < 0 || row < 0) throw new Error(`no counter ${name} of ${service}`);
  return FIRST_ROW + ROW.length * row + place;
}

/** The tenant of a gateway's request `n`. Tenant 0 has every second one, which is above every sensible limit. */
export const tenantOf = (n) => (n % 2 === 0 ? 0 : 1 + (((n - 1) / 2) % (TENANTS - 1)));

/** Every process creates missing files, readable and writable for the group of the services. */
export const FILE_MODE = 0o660;
export const BLOCK_SIZE = 32;

/** The path of a file of the services. */
export const inFolder = (name) => `${process.env.FOLDER ?? "/shared"}/${name}`;
export const COUNTERS_FILE = inFolder("traffic.counters");
export const JOBS_FILE = inFolder("jobs.queue");
export const RESULTS_FILE = inFolder("results.blocks");
export const answersFile = (gateway) => inFolder(`answers-${gateway}.queue`);
