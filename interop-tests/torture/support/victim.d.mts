/** The victim's answer: see native/test/victim.c. */
export interface Report {
  point: string | null;
  begun: { first: number; next: number };
  acknowledged: { first: number; next: number };
}

export class Victim {
  order(...words: (string | number)[]): Promise<Report>;
  kill(): Promise<void>;
}

export function pointsWithLock(victim: Victim, script: string, path: string): Promise<Map<string, number>>;
