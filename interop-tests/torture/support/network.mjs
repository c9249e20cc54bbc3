// Hosts with a network between them, on one machine: each has a network namespace, with a link to a switch, which has one too. The
// namespaces have no names, so they are gone with the processes that hold them.
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Peer } from "./processes.mjs";
import { NotPossible } from "./report.mjs";

/** Where nodes listen, and where the proxy does that delays. */
export const PORT = 4370;
const PROXY_PORT = 4371;

const proxyProgram = fileURLToPath(new URL("delay_proxy.mjs", import.meta.url));

const inside = (pid) => ["nsenter", "--target", String(pid), "--net"];

function run(pid, command) {
  const [program, ...args] = [...inside(pid), ...command.split(" ")];
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

async function namespace() {
  const holder = new Peer("unshare", ["--net", "cat"]);
  await holder.ask("");
  return holder;
}

/** A host: `wrapper` is a command that runs the one behind it there. */
class Host {
  #holder;
  #switch;
  #link;
  #rules = new Set();

  constructor(number, holder, theSwitch) {
    this.number = number;
    this.address = `10.77.0.${number}`;
    this.second = `10.77.1.${number}`;
    this.#holder = holder;
    this.#switch = theSwitch;
    this.#link = `link${number}`;
    const peer = `link${number}p`;
    run(theSwitch.pid, `ip link add ${this.#link} type veth peer name ${peer}`);
    run(theSwitch.pid, `ip link set ${peer} netns ${holder.pid}`);
    run(theSwitch.pid, `ip link set ${this.#link} master switch up`);
    this.#do(`ip link set ${peer} name eth0`);
    for (const address of [this.address, this.second]) this.#do(`ip addr add ${address}/24 dev eth0`);
    for (const device of ["lo", "eth0"]) this.#do(`ip link set ${device} up`);
    this.#do("nft add table ip test");
    this.#do("nft add chain ip test in { type filter hook input priority 0 ; }");
    this.#do("nft add chain ip test out { type filter hook output priority 0 ; }");
  }

  get wrapper() {
    return inside(this.#holder.pid);
  }

  #do(command) {
    return run(this.#holder.pid, command);
  }

  /** Nothing comes and goes. */
  cut() {
    run(this.#switch.pid, `ip link set ${this.#link} down`);
  }

  /** Nothing comes (`in`), or nothing goes (`out`). */
  cutOneWay(way) {
    this.#do(`nft add rule ip test ${way} ${way === "in" ? "iifname" : "oifname"} eth0 drop`);
    this.#rules.add(way);
  }

  /** What goes out is as slow as this. */
  slow(kilobits) {
    this.#do(`tc qdisc replace dev eth0 root tbf rate ${kilobits}kbit burst 16kb latency 400ms`);
  }

  /** Ends all three. */
  heal() {
    run(this.#switch.pid, `ip link set ${this.#link} up`);
    for (const way of this.#rules) this.#do(`nft flush chain ip test ${way}`);
    this.#rules.clear();
    if (this.#do("tc qdisc show dev eth0").includes("tbf")) this.#do("tc qdisc del dev eth0 root");
  }

  /** Connections from here to the other host go through a proxy. Returns what sets its delay. */
  async delayed(other) {
    this.#do("nft add chain ip test nat { type nat hook output priority -100 ; }");
    this.#do(
      `nft add rule ip test nat ip daddr ${other.address} tcp dport ${PORT} redirect to :${PROXY_PORT}`,
    );
    const [command, ...args] = [...this.wrapper, process.execPath, proxyProgram];
    const proxy = new Peer(command, [...args, String(PROXY_PORT), other.second, String(PORT)]);
    await proxy.ask("0");
    return (milliseconds) => proxy.ask(String(milliseconds));
  }
}

/** Makes so many hosts. They end with the folder of withFolder, or with endAll. */
export async function network(count) {
  const theSwitch = await namespace();
  run(theSwitch.pid, "ip link add switch type bridge");
  run(theSwitch.pid, "ip link set switch up");
  const hosts = [];
  for (let number = 1; number <= count; number++) hosts.push(new Host(number, await namespace(), theSwitch));
  return hosts;
}

/** Throws where this user, machine or container has no such networks. */
export async function requireNetworks() {
  const started = [];
  try {
    const holder = await namespace().catch((error) => {
      throw new NotPossible(`this user may make no network namespaces: ${error.message.trim()}`);
    });
    started.push(holder);
    for (const command of [
      "ip link add switch type bridge",
      "ip link add eth0 type veth peer name other",
      "tc qdisc add dev eth0 root tbf rate 1mbit burst 16kb latency 400ms",
      "nft add table ip test",
      "nft add chain ip test in { type filter hook input priority 0 ; }",
      "nft add chain ip test nat { type nat hook output priority -100 ; }",
      "nft add rule ip test in iifname eth0 drop",
      `nft add rule ip test nat tcp dport ${PORT} redirect to :${PROXY_PORT}`,
    ])
      try {
        run(holder.pid, command);
      } catch (error) {
        throw new NotPossible(`no networks of its own: ${command}: ${String(error.stderr ?? error).trim()}`);
      }
  } finally {
    await Promise.all(started.map((holder) => holder.kill()));
    // The kernel takes a namespace apart a moment later.
    await sleep(10);
  }
}
