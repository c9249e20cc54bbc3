// What consumers of the torture of deliveries count, in a file that outlives them.

/** How often a job was delivered after its acknowledgement had returned. */
export const BACK = 0;
/** How often a consumer has released a job, or is about to. */
export const RELEASED = 1;
/** The first job's counter; each job has one. */
export const COUNTS = 2;

/** What a delivery adds to its job's counter, and what an acknowledgement that has returned adds. */
export const DELIVERED = 1;
export const ACKNOWLEDGED = 2 ** 32;
