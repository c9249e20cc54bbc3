export class Progress {
  read(line: string): void;
  end(reason: string): void;
  more(service: string, messages?: number): Promise<void>;
}

export interface Party {
  kill(service: string): Promise<void>;
  start(service: string): Promise<void>;
  pause(service: string): Promise<void>;
  resume(service: string): Promise<void>;
}

export function makeTrouble(
  party: Party,
  services: readonly string[],
  rounds: number,
  progress: Progress,
  say: (text: string) => void,
): Promise<void>;

export function readTable(lines: readonly string[]): Record<string, Record<string, number>>;
