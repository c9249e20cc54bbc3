// A result: 4 bytes place of the gateway, 4 bytes tenant, 8 bytes request (all big-endian), and the same with all bits
// inverted. The gateway knows the request, and compares the block with it.
import { BLOCK_SIZE, placeOf, serviceAt } from "./layout.mjs";

export function resultOf(gateway, n, tenant) {
  const result = Buffer.alloc(BLOCK_SIZE);
  result.writeUInt32BE(placeOf(gateway), 0);
  result.writeUInt32BE(tenant, 4);
  result.writeBigUInt64BE(BigInt(n), 8);
  for (let i = 0; i < BLOCK_SIZE / 2; i++) result[BLOCK_SIZE / 2 + i] = ~result[i];
  return result;
}

/** The request of a result; undefined if the bytes are no result. */
export function requestOf(result) {
  const gateway = serviceAt(result.readUInt32BE(0));
  const tenant = result.readUInt32BE(4);
  const n = Number(result.readBigUInt64BE(8));
  if (gateway === undefined || !result.equals(resultOf(gateway, n, tenant))) return undefined;
  return { gateway, n, tenant };
}
