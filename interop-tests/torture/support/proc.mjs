// The kernel's facts about processes.
import { readdirSync, readFileSync } from "node:fs";

/** The resources of a process: descriptors, threads, mappings, and bytes of address space and of memory. */
export function resourcesOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]);
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
    mappings: readFileSync(`/proc/${pid}/maps`, "utf8").split("\n").length - 1,
    addressSpace: kilobytes("VmSize") * 1024,
    memory: kilobytes("VmRSS") * 1024,
  };
}

function childrenOf(pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8");
      return children.split(" ").filter(Boolean).map(Number);
    } catch {
      return []; // the thread has ended meanwhile
    }
  });
}

/** All processes below `pid`. */
export function descendantsOf(pid) {
  const children = childrenOf(pid);
  return [...children, ...children.flatMap(descendantsOf)];
}

/** The port program below a BEAM node, if there is one. */
export function portProgramOf(pid) {
  return descendantsOf(pid).find((each) => readFileSync(`/proc/${each}/comm`, "utf8") === "emmap_port\n");
}

/** Whether a process runs. A zombie does not. */
export function runs(pid) {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** For each thread of a process: whether it sleeps, how often it ran, and the ms that it ran and waited for a processor. */
export function threadsOf(pid) {
  const threads = new Map();
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const about = `/proc/${pid}/task/${thread}`;
      const [, state] = /\) (\S)/.exec(readFileSync(`${about}/stat`, "latin1"));
      const [ran, waited, times] = readFileSync(`${about}/schedstat`, "latin1").split(" ").map(Number);
      threads.set(thread, { sleeps: state === "S", ranMs: ran / 1e6, waitedMs: waited / 1e6, times });
    }
  } catch {
    // It, or one of its threads, has ended meanwhile.
  }
  return threads;
}
