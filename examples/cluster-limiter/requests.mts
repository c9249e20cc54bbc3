// Makes requests of a tenant, one each millisecond, and prints how many were allowed. "strict" uses the budget of all tenants instead.
//
//   node requests.mts folder-a 7 2000 &
//   node requests.mts folder-b 7 2000
//   node requests.mts folder-a strict 2000
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { openBudget } from "emmap";
import { ClusterLimiter } from "./limiter.mts";

const TENANTS = 1000;

const [folder, tenant, requests] = process.argv.slice(2);
if (folder === undefined || tenant === undefined || requests === undefined) {
  console.error("usage: node requests.mts FOLDER TENANT|strict REQUESTS");
  process.exit(2);
}

/** Resolves to how many of the requests `take` allows. */
async function allowed(take: () => boolean): Promise<number> {
  let count = 0;
  for (let i = 0; i < Number(requests); i++) {
    if (take()) count++;
    await setTimeout(1);
  }
  return count;
}

if (tenant === "strict") {
  using mails = openBudget(join(folder, "mails"));
  console.log(await allowed(() => mails.hit()));
} else {
  const limiter = new ClusterLimiter(join(folder, "tenants"), TENANTS);
  console.log(await allowed(() => limiter.take(Number(tenant))));
  limiter.close();
}
