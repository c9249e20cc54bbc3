/** Builds libemmap_core.a as the doors link it; the path of it. */
export function coreLibrary(): string;

/** Compiles C sources to a program or a library; the path of it. */
export function compile(name: string, sources: string[], ...flags: string[]): string;
