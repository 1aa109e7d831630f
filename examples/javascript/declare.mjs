// Prints the manifest of an action that works on one package of this workspace:
//
//     node declare.mjs packages/app > action.json
//
// The package may see what its package.json names, in the versions that pnpm chose and linked, and what those depend
// on in turn. A package in pnpm's store (node_modules/.pnpm/NAME@VERSION) lies beside the links to its dependencies, so
// its directory there is declared as a whole, and its links say which others have to be. What pnpm linked for somebody
// else, such as all that lies in node_modules/.pnpm/node_modules, is left out.

import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const workspace = realpathSync(dirname(fileURLToPath(import.meta.url)));
const inputs = [
  { name: "usr", directory: "/usr" },
  { name: "bin", symlink: "usr/bin" },
  { name: "lib", symlink: "usr/lib" },
  { name: "lib64", symlink: "usr/lib64" },
];
const seen = new Set();

/** Declares a package of the workspace, and what it depends on. */
function declarePackage(path, alsoForDevelopment) {
  if (seen.has(path)) return;
  seen.add(path);
  for (const entry of readdirSync(join(workspace, path), { withFileTypes: true })) {
    if (["node_modules", "dist"].includes(entry.name)) continue;
    declare(join(path, entry.name), entry.isDirectory() ? "directory" : "file");
  }
  const described = JSON.parse(readFileSync(join(workspace, path, "package.json"), "utf8"));
  const wanted = { ...described.dependencies, ...(alsoForDevelopment && described.devDependencies) };
  for (const name of Object.keys(wanted)) {
    const link = join(path, "node_modules", name);
    inputs.push({ name: join("w", link), symlink: readlinkSync(join(workspace, link)) });
    declareTarget(link);
  }
}

/** Declares what a link of pnpm leads to. */
function declareTarget(link) {
  const target = relative(workspace, realpathSync(join(workspace, link)));
  const [inStore] = target.match(/^node_modules\/\.pnpm\/[^/]+/) ?? [];
  if (!inStore) return declarePackage(target, false);
  if (seen.has(inStore)) return;
  seen.add(inStore);
  declare(inStore, "directory");
  linksIn(join(inStore, "node_modules")).forEach(declareTarget);
}

/** The links in a directory of packages, those of scopes (`@types/debug`) included. */
function linksIn(directory) {
  return readdirSync(join(workspace, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isSymbolicLink()) return [path];
    return entry.name.startsWith("@") ? linksIn(path) : [];
  });
}

function declare(path, kind) {
  inputs.push({ name: join("w", path), [kind]: join(workspace, path) });
}

const path = process.argv[2];
if (!path || !existsSync(join(workspace, path, "node_modules"))) {
  console.error("usage: node declare.mjs PACKAGE, such as packages/app, after `pnpm install`");
  process.exit(2);
}
declarePackage(relative(".", path), true);
console.log(JSON.stringify({ version: 1, inputs, working_directory: join("w", path) }, null, 2));
