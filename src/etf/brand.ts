/** The constructor of a class for `instanceof` within this copy of the package. See {@link brand}. */
export interface Own<Instance> {
  new (): Instance;
  readonly prototype: Instance;
}

/**
 * Makes `value instanceof own` true for what any copy of the package in this process has made of its class `name`: two
 * versions may be installed, and a module registry that is reset evaluates a module again. Subclasses answer as usual.
 *
 * That costs more than `instanceof` usually does. What is returned has the usual one, for the objects of this copy alone.
 */
export function brand<Instance extends object>(
  own: { readonly prototype: Instance },
  name: string,
): Own<Instance> {
  const mark = Symbol.for(`emmap.${name}`);
  Object.defineProperty(own.prototype, mark, { value: true });
  const usual = Function.prototype[Symbol.hasInstance];
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== own) return usual.call(this as never, value);
      return typeof value === "object" && value !== null && mark in value;
    },
  });
  // No arrow: only what can be a constructor has the fast instanceof of V8.
  function check(): void {}
  check.prototype = own.prototype;
  return check as unknown as Own<Instance>;
}
