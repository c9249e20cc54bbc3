import { readdirSync, readFileSync } from "node:fs";

/** What a process holds: descriptors, mappings, and bytes of address space and of memory. */
export function resourcesOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]);
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mappings: readFileSync(`/proc/${pid}/maps`, "utf8").split("\n").length - 1,
    addressSpace: kilobytes("VmSize") * 1024,
    memory: kilobytes("VmRSS") * 1024,
  };
}
