// Whether operations of this thread may wait for locks.
import { addon } from "./addon.js";

let mayNotWait = false;

/** Runs `operation`, in which no operation waits for a lock: it throws instead. */
export function withoutWaiting<T>(operation: () => T): T {
  addon.set_may_block(false);
  mayNotWait = true;
  try {
    return operation();
  } finally {
    mayNotWait = false;
    addon.set_may_block(true);
  }
}

/** A function of the user that {@link withoutWaiting} may call, and in which operations may wait as always. */
export function mayWaitInside(callback: (name: string) => unknown): (name: string) => unknown {
  return (name) => {
    if (!mayNotWait) return callback(name);
    addon.set_may_block(true);
    mayNotWait = false;
    try {
      return callback(name);
    } finally {
      mayNotWait = true;
      addon.set_may_block(false);
    }
  };
}
