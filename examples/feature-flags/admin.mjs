// Sets feature flags, and lists them.
//
//   node admin.mjs flags.bin set new-checkout 25     # on for 25 % of the users
//   node admin.mjs flags.bin list
import { Flags, setFlag } from "./flags.mjs";

const [path, command, name, percentage] = process.argv.slice(2);

try {
  if (command === "set" && percentage !== undefined) {
    setFlag(path, name, Number(percentage));
  } else if (command === "list") {
    const flags = new Flags(path);
    for (const [flag, on] of flags) console.log(`${flag}: ${on} %`);
    flags.close();
  } else {
    console.error("usage: node admin.mjs FILE set NAME PERCENTAGE | FILE list");
    process.exitCode = 2;
  }
} catch (error) {
  console.error(error.code === "EBUSY" ? "somebody else is just setting a flag: try again" : error.message);
  process.exitCode = 1;
}
