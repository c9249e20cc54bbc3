export interface Row {
  fault: string;
  runtime: string;
  hits: number;
  survived: number;
  lost: number;
  worstWaitMs: number | null;
  waitLimitMs?: number;
}

export interface Fault {
  title: string;
  shortSeconds?: number;
  run(how: { seconds: number; say: (text: string) => void }): Promise<Row[]>;
}

export const WAIT_LIMIT_MS: number;
export class NotPossible extends Error {}
export function faultNames(): string[];
export function loadFault(name: string): Promise<Fault>;
export function shortcoming(row: Row): string | null;
export function report(rows: readonly Row[]): string;
