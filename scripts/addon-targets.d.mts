export interface Target {
  name: string;
  arch: string;
  env: Record<string, string>;
  kernelHeaders?: string[];
  machine: string;
  libraries: string[];
}

export const targets: Target[];
export const oldestGlibc: string;
