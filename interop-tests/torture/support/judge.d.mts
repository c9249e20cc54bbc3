export type Message = [producer: number, number: number];
export type Block = [address: number, player: number, number: number];

export interface Verdict {
  wrong: string[];
  inTheMiddle: number;
  pushed: number;
  stored: number;
}

export function judge(
  logs: Iterable<[player: number, text: string]>,
  left: readonly Message[],
  blocks: readonly Block[],
): Verdict;
