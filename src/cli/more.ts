// What needs the library. It is a bundle of its own, since verbs that only look start faster without it.
export { inHandOf, insideOf } from "./inside.js";
export { backup } from "./verbs/backup.js";
export { blocks } from "./verbs/blocks.js";
export { counters } from "./verbs/counters.js";
export { doctor } from "./verbs/doctor.js";
export { queue } from "./verbs/queue.js";

/** Its libraries for the network are loaded when they are needed. */
export const serve = async (...args: Parameters<typeof import("./serve/server.js").serve>): Promise<void> =>
  (await import("./serve/server.js")).serve(...args);
