export const ARRIVED: number;
export const POPPED: number;
export function fillerSize(number: number): number;
export const LEAD: number;
export const BLOCK_SIZE: number;
export const KEPT: number;
