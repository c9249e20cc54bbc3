// What needs the library. It is a bundle of its own, since verbs that only look start faster without it.
export { inHandIfSound, insideOf, repairInHand } from "./inside.js";
export { backup } from "./verbs/backup.js";
export { blocks } from "./verbs/blocks.js";
export { cell } from "./verbs/cell.js";
export { counters } from "./verbs/counters.js";
export { doctor } from "./verbs/doctor.js";
export { metrics } from "./verbs/metrics.js";
export { queue } from "./verbs/queue.js";
export { table } from "./verbs/table.js";

/** Its libraries for the network are loaded when they are needed. */
export const serve = async (...args: Parameters<typeof import("./serve/server.js").serve>): Promise<void> =>
  (await import("./serve/server.js")).serve(...args);
