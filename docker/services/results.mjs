// A result: 4 bytes gateway, 4 bytes tenant, 8 bytes request (big-endian), 16 bytes MD5 of those. The gateway, which
// knows the request, computes the same and so sees whether the block that it was given is the right one.
import { createHash } from "node:crypto";
import { BLOCK_SIZE, GATEWAYS } from "./layout.mjs";

export function resultOf(gateway, n, tenant) {
  const result = Buffer.alloc(BLOCK_SIZE);
  result.writeUInt32BE(GATEWAYS.indexOf(gateway), 0);
  result.writeUInt32BE(tenant, 4);
  result.writeBigUInt64BE(BigInt(n), 8);
  createHash("md5").update(result.subarray(0, 16)).digest().copy(result, 16);
  return result;
}

/** Which request a result is of; undefined if it is none. */
export function requestOf(result) {
  const gateway = GATEWAYS[result.readUInt32BE(0)];
  const tenant = result.readUInt32BE(4);
  const n = Number(result.readBigUInt64BE(8));
  if (gateway === undefined || !result.equals(resultOf(gateway, n, tenant))) return undefined;
  return { gateway, n, tenant };
}
