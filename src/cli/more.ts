// What needs the library. It is a bundle of its own, since verbs that only look start faster without it.
export { insideOf } from "./inside.js";
export { serve } from "./serve/server.js";
export { backup } from "./verbs/backup.js";
export { blocks } from "./verbs/blocks.js";
export { counters } from "./verbs/counters.js";
export { doctor } from "./verbs/doctor.js";
export { queue } from "./verbs/queue.js";
