// Counts the results of a fault, for the table.
import { DOORS } from "./testee.mjs";

/** The row of one fault and one door. */
export class Row {
  hits = 0;
  survived = 0;
  lost = 0;
  worstWaitMs = null;

  constructor(fault, door) {
    this.fault = fault;
    this.runtime = DOORS[door];
  }

  /** Counts a fault that happened, and its result. */
  count({ lost = 0, survived = lost === 0, waitMs = null }) {
    this.hits++;
    if (survived) this.survived++;
    this.lost += lost;
    if (waitMs !== null) this.worstWaitMs = Math.max(this.worstWaitMs ?? 0, waitMs);
  }
}
