/** A class for `instanceof` within this copy of the package. See {@link brand}. */
export interface Own<Instance> {
  new (): Instance;
  readonly prototype: Instance;
}

/**
 * Makes `value instanceof own` true for objects of the class `name` of every copy of the package in this process. There
 * may be several copies: two versions are installed, or a module registry was reset. Subclasses keep the usual
 * `instanceof`.
 *
 * That one is slow. The returned class has the fast one, which is true for objects of this copy alone.
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
  // Not an arrow function: V8 has the fast instanceof only for constructors.
  function check(): void {}
  check.prototype = own.prototype;
  return check as unknown as Own<Instance>;
}
