// Sets feature flags, and lists them.
//
//   node admin.mts flags.cell set new-checkout 25     # on for 25 % of the users
//   node admin.mts flags.cell list
import { EmmapError } from "emmap";
import { Flags, setFlag } from "./flags.mts";

const [path, command, name, percentage] = process.argv.slice(2);

try {
  if (path !== undefined && command === "set" && name !== undefined && percentage !== undefined) {
    setFlag(path, name, Number(percentage));
  } else if (path !== undefined && command === "list") {
    const flags = new Flags(path);
    for (const [flag, on] of flags) console.log(`${flag}: ${on} %`);
    flags.close();
  } else {
    console.error("usage: node admin.mts FILE set NAME PERCENTAGE | FILE list");
    process.exitCode = 2;
  }
} catch (error) {
  const busy = error instanceof EmmapError && error.code === "EBUSY";
  console.error(busy ? "another program is setting a flag: try again" : String(error));
  process.exitCode = 1;
}
