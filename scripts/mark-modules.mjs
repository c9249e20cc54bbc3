// Says that dist/esm has ECMAScript modules. Bundlers take those; Node takes the CommonJS modules in dist for import as
// well, so that a process has one of each module.
import { writeFileSync } from "node:fs";

writeFileSync(new URL("../dist/esm/package.json", import.meta.url), '{ "type": "module" }\n');
