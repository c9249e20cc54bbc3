// Prints the files of the core that take part in a single operation often, or seldom: binding.gyp compiles them differently.
const { readdirSync } = require("node:fs");
const { join } = require("node:path");

const OFTEN =
  /^(blocks|blocks_(change|free|look|masks|store)|cell|copy|counters|cursor|fence|live_lock|lock|mapping|operation|patience|patomic|pin|queue|queue_(hand|look|messages|pop|push|read|room|take|wake)|live_bell|table|table_(change|find|hit|walk)|taken_\w+|slice|thread_lock|wait|wait_\w+)\.c$/;

const isWanted = (name) => name.endsWith(".c") && OFTEN.test(name) === (process.argv[2] === "often");
for (const name of readdirSync(join(__dirname, "../core")).filter(isWanted)) console.log(`../core/${name}`);
