/**
 * A package that npm installs where it can, and that is loaded when it is needed. Throws `WHAT needs the package NAME …`
 * with what to do where it is missing.
 */
export function optional<T>(name: string, what: string, install: string = name): T {
  try {
    return require(name) as T;
  } catch (error) {
    const why = `${what} the package ${name}, which is not installed or not for this machine: npm install ${install}`;
    throw new Error(why, { cause: error });
  }
}
