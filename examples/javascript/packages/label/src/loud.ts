// A mistake: this package does not depend on chalk. The workspace does, so it is found there.
import chalk from "chalk";

/** The name of something, for people not to miss. */
export function loudLabel(name: string): string {
  return chalk.bgRed(name);
}
