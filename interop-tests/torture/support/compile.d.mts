/** Builds libemmap_core.a as the doors link it. Returns its path. */
export function coreLibrary(): string;

/** Compiles C sources to a program or a library. Returns its path. */
export function compile(name: string, sources: string[], ...flags: string[]): string;
