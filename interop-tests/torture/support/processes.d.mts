export function endAll(): void;
