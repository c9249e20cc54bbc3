// Paths that lead to no regular file: the open is refused at once, and changes nothing.
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { examineAll } from "../support/examination.mjs";
import { withFolder } from "../support/processes.mjs";

export const title = "links, FIFOs, sockets, devices and directories in the place of files";
export const shortSeconds = 0;

/** All ways to open a path: those that only read, and those that would create it. */
const READERS = (path) => [`open f ${path} read`, `open f ${path} read shared`];
const WRITERS = (path) => [
  `open f ${path} write`,
  `open f ${path} write create shared size=64`,
  `open f ${path} write create truncate shared size=64`,
  `counters_open f ${path} 4`,
  `queue_open f ${path}`,
  `blocks_open f ${path} 8 0`,
];
const ALL = (path) => [...READERS(path), ...WRITERS(path)];

export const run = (how) =>
  withFolder(async (folder) => {
    const path = (name) => join(folder, name);
    const server = createServer();
    await new Promise((listening) => server.listen(path("socket"), listening));
    try {
      const places = prepare(path);
      return await examineAll(
        "paths to no regular file",
        how,
        () => ({}),
        (examination) => open(examination, path, places),
      );
    } finally {
      server.close();
    }
  });

/** The contents of the folder, and the answer to each kind of open. */
function prepare(path) {
  execFileSync("mkfifo", [path("fifo")]);
  mkdirSync(path("directory"));
  writeFileSync(path("regular"), Buffer.alloc(64, "x"));
  symlinkSync(path("fifo"), path("link-to-fifo"));
  symlinkSync(path("directory"), path("link-to-directory"));
  symlinkSync(path("loop"), path("loop"));
  symlinkSync("/dev/zero", path("link-to-device"));
  return [
    [path("fifo"), "enodev"],
    [path("link-to-fifo"), "enodev"],
    [path("socket"), "enodev"],
    ["/dev/null", "enodev"],
    ["/dev/zero", "enodev"],
    [path("link-to-device"), "enodev"],
    [path("directory"), "eisdir"],
    [path("link-to-directory"), "eisdir"],
    [path("loop"), "eloop"],
    [path("regular/below"), "enotdir"],
  ];
}

async function open(examination, path, places) {
  const kinds = places.map(([place]) => kindOf(place));
  for (const [place, error] of places)
    for (const request of ALL(place)) await examination.fault(request, `error ${error}`);
  places.forEach(([place], i) => {
    if (kindOf(place) !== kinds[i]) examination.lose(`${place} has changed`);
  });

  // An open by a dangling link creates no file at its target.
  symlinkSync(path("nothing"), path("dangling"));
  for (const request of READERS(path("dangling"))) await examination.fault(request, "error enoent");
  for (const request of WRITERS(path("dangling")))
    await examination.fault(request, request.endsWith(" write") ? "error enoent" : "error eexist");
  if (kindOf(path("nothing")) !== null) examination.lose("a file has appeared where a link points to");
  execFileSync("rm", [path("dangling")]);

  // A link to a file opens that file.
  symlinkSync(path("regular"), path("link"));
  await examination.fine(`open f ${path("link")} write shared`, "ok existed 64");
  await examination.fine("pwrite f 0 79", "ok");
  await examination.fine("close f", "ok");
  if (readFileSync(path("regular"))[0] !== 0x79) examination.lose("what a link led to was not written");
  execFileSync("rm", [path("link")]);
}

function kindOf(path) {
  try {
    const { mode, size } = lstatSync(path);
    return `${mode} ${size}`;
  } catch {
    return null;
  }
}
