// A limit for each tenant that holds for all hosts together: a counter of a cluster for each tenant. host.escript is the BEAM node that
// each host needs.
//
// A host sees what the others have allowed after an interval of 50 ms, or up to 250 ms if it was idle. So with H hosts that each allow R
// requests a second a limit is exceeded by at most (H - 1) · R · 0.25. A budget (openBudget) is never exceeded.
import { type ClusterCounters, openClusterCounters } from "emmap";

/** At most so many requests of a tenant in a window, on all hosts together. */
const LIMIT = 1000n;
const WINDOW_MS = 60_000;

export class ClusterLimiter {
  readonly #hits: ClusterCounters;
  /** The sums at the beginning of the window. All processes take them at the same time, within an interval. */
  #before: bigint[];
  #timer: NodeJS.Timeout;

  constructor(folder: string, tenants: number) {
    this.#hits = openClusterCounters(folder, tenants);
    this.#before = [...this.#hits];
    this.#timer = this.#atNextWindow();
  }

  #atNextWindow(): NodeJS.Timeout {
    const left = WINDOW_MS - (Date.now() % WINDOW_MS);
    return setTimeout(() => {
      this.#before = [...this.#hits];
      this.#timer = this.#atNextWindow();
    }, left).unref();
  }

  /** Counts a request of the tenant and returns true, if the tenant may make one now. */
  take(tenant: number): boolean {
    const used = this.#hits.get(tenant) - (this.#before[tenant] ?? 0n);
    if (used >= this.#limit()) return false;
    this.#hits.add(tenant, 1);
    return true;
  }

  /**
   * Hosts that do not see all others take their share of the limit only, so that both halves of a split together allow no more
   * than the limit. The share of a host that is gone is missing until emmap_cluster:forget/2 retires it.
   */
  #limit(): bigint {
    const { beat, connected, known } = this.#hits.status();
    const isBlind = beat === undefined || Date.now() - beat.getTime() > 5000;
    return (LIMIT * BigInt(isBlind ? 1 : connected + 1)) / BigInt(known + 1);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#hits.close();
  }
}
