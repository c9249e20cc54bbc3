// The counters of consumers in the torture of deliveries, in a file that outlives them.

/** How often a job was delivered after its acknowledgement had returned. */
export const BACK = 0;
/** How often a consumer has released a job, or is about to. */
export const RELEASED = 1;
/** The first job's counter; each job has one. */
export const COUNTS = 2;

/** A delivery adds the first number to its job's counter, an acknowledgement that has returned adds the second one. */
export const DELIVERED = 1;
export const ACKNOWLEDGED = 2 ** 32;
