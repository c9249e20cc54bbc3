// The parts of prom-client that are bundled. Its index also loads parts for clusters and for the process's own metrics.
declare module "prom-client/lib/registry.js" {
  import type { Registry } from "prom-client";

  const exported: typeof Registry;
  export = exported;
}
declare module "prom-client/lib/gauge.js" {
  import type { Gauge } from "prom-client";

  const exported: typeof Gauge;
  export = exported;
}
declare module "prom-client/lib/counter.js" {
  import type { Counter } from "prom-client";

  const exported: typeof Counter;
  export = exported;
}
declare module "*.html" {
  const text: string;
  export = text;
}
declare module "*.css" {
  const text: string;
  export = text;
}
