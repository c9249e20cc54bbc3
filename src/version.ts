/** The package's version, which its addon has to have as well. package.json says it, too. */
export const VERSION = "0.1.0";
