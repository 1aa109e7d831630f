import colors from "picocolors";

/** The name of something, for people to read. */
export function label(name: string): string {
  return `[${colors.bold(name)}]`;
}
