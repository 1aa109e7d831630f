//! A JavaScript project as its authors have it: `examples/javascript`, which
//! pnpm installs from npm, which esbuild and rollup bundle, and whose types tsc
//! checks. esbuild is a Go program, so nothing done to node reaches it.
//!
//! Two packages are installed that the application does not depend on, and its
//! sources come upon both:
//!
//! ```text
//!   node_modules/chalk                       for the workspace, above packages/label/src/loud.ts
//!   node_modules/.pnpm/node_modules/         where pnpm hoists what anybody depends on,
//!                      supports-color        above the store's debug, which uses it if it is there
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use transom_test::is_root;

use crate::action::{Action, Run};
use crate::c_project::{printed, succeeded};
use crate::compile::assert_read_by_the_kernel;
use crate::world::{World, over_both_engines};

over_both_engines!(builds_see_what_is_declared);

/// The example, without what its users may have installed or made there.
const FILES: [&str; 13] = [
    "declare.mjs",
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "packages/app/package.json",
    "packages/app/rollup.config.js",
    "packages/app/tsconfig.json",
    "packages/app/tsconfig.loud.json",
    "packages/app/src/loud.ts",
    "packages/app/src/main.ts",
    "packages/label/package.json",
    "packages/label/src/label.ts",
    "packages/label/src/loud.ts",
];

const APP: &str = "packages/app";

const ESBUILD: [&str; 7] = [
    "node_modules/esbuild/bin/esbuild",
    "--bundle",
    "--platform=node",
    "--sourcemap",
    "--outdir=dist",
    "--out-extension:.js=.cjs",
    "--log-level=warning",
];
const ROLLUP: [&str; 3] = ["node_modules/rollup/dist/bin/rollup", "--config", "--input"];
const TSC: [&str; 2] = ["node_modules/typescript/bin/tsc", "--project"];

/// The packages that the application depends on, and that have code for it.
const DEPENDENCIES: [&str; 3] = ["debug", "ms", "picocolors"];

/// A name in the code of `has-flag`, which only `supports-color` depends on.
const ONLY_IN_HAS_FLAG: &str = "terminatorPosition";

fn builds_see_what_is_declared(world: &World) {
    let project = Project::install(world);
    bundles_are_those_of_a_copy(&project);
    undeclared_packages_are_not_found(&project);
}

fn bundles_are_those_of_a_copy(project: &Project<'_>) {
    let world = project.world;
    let copy = project.lay_out("copy", |from, to| fs::copy(from, to).map(drop));
    for (bundler, entry) in [(&ESBUILD[..], "main.cjs"), (&ROLLUP, "main.mjs")] {
        succeeded(&mut tool_in(&copy, bundler, "src/main.ts"));
        let run = project.bundle(bundler, "src/main.ts").succeeded();
        assert_read_by_the_kernel(world, &run);

        let made = world.path().join("dist");
        for name in [entry, &format!("{entry}.map")] {
            assert!(
                fs::read(made.join(name)).unwrap()
                    == fs::read(copy.join(APP).join("dist").join(name)).unwrap(),
                "{name} is not what it is in a copy of the declared files"
            );
        }
        let bundle = Bundle::read(&made.join(entry));
        assert_eq!(bundle.packages(), BTreeSet::from(DEPENDENCIES));
        assert!(!bundle.code.contains(ONLY_IN_HAS_FLAG), "{}", bundle.code);
        for source in bundle.sources_from(&Path::new("/w").join(APP).join("dist")) {
            assert!(project.declares(&source), "{source:?} is in {entry}");
        }
        let mut node = world.command("node");
        let says = printed(node.arg(made.join(entry)).env("NO_COLOR", "1"));
        assert_eq!(says, "[door]\n[transom]\n");
    }
}

fn undeclared_packages_are_not_found(project: &Project<'_>) {
    let world = project.world;
    let esbuild = project.bundle(&ESBUILD, "src/loud.ts").exited(1);
    let esbuild = esbuild.says("Could not resolve \"chalk\"");
    assert_eq!(esbuild.report()["outputs"][0]["state"], "discarded");

    // It leaves to the user what it does not find.
    let rollup = project.bundle(&ROLLUP, "src/loud.ts").succeeded();
    rollup.says("Unresolved dependencies");
    let bundle = Bundle::read(&world.path().join("dist/loud.mjs"));
    assert_eq!(bundle.packages(), BTreeSet::new());
    assert!(bundle.code.contains("from 'chalk'"), "{}", bundle.code);

    let tsc = project.check_types("tsconfig.loud.json").exited(2);
    assert_read_by_the_kernel(world, &tsc);
    assert_eq!(
        tsc.stdout(),
        "../label/src/loud.ts(2,19): error TS2307: \
         Cannot find module 'chalk' or its corresponding type declarations.\n"
    );
    let tsc = project.check_types("tsconfig.json").succeeded();
    assert_read_by_the_kernel(world, &tsc);
}

/// The same declaration as a symlink farm, for comparison: everything succeeds,
/// with packages that nobody declared.
#[test]
fn a_symlink_farm_leaks() {
    let world = World::here();
    let project = Project::install(&world);
    let farm = project.lay_out("farm", |from, to| symlink(from, to));
    let dist = farm.join(APP).join("dist");
    let bundled = |bundler: &[&str], name: &str, extension: &str| {
        succeeded(&mut tool_in(&farm, bundler, &format!("src/{name}.ts")));
        Bundle::read(&dist.join(name).with_extension(extension))
    };
    for (bundler, extension) in [(&ESBUILD[..], "cjs"), (&ROLLUP, "mjs")] {
        let main = bundled(bundler, "main", extension);
        let mut leaked = BTreeSet::from(DEPENDENCIES);
        leaked.extend(["supports-color", "has-flag"]);
        assert_eq!(main.packages(), leaked);
        assert!(main.code.contains(ONLY_IN_HAS_FLAG), "{}", main.code);
        for source in main.sources_from(&dist) {
            assert!(source.starts_with(&project.root), "{source:?}");
        }
        assert!(
            bundled(bundler, "loud", extension)
                .packages()
                .contains("chalk")
        );
    }
    succeeded(&mut tool_in(&farm, &TSC, "tsconfig.loud.json"));
}

/// The example, installed, and what it declares of itself.
struct Project<'w> {
    world: &'w World,
    root: PathBuf,
    manifest: Value,
}

impl<'w> Project<'w> {
    fn install(world: &'w World) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/javascript");
        for name in FILES {
            let content = fs::read(example.join(name)).unwrap();
            world.file(Path::new("project").join(name), content);
        }
        let root = world.path().join("project");
        install_packages(&root);
        for undeclared in ["chalk", ".pnpm/node_modules/supports-color"] {
            let path = root.join("node_modules").join(undeclared);
            assert!(path.is_dir(), "{path:?} is not there to be found");
        }
        let mut declare = Command::new("node");
        let manifest = printed(declare.args(["declare.mjs", APP]).current_dir(&root));
        Self {
            world,
            root,
            manifest: serde_json::from_str(&manifest).unwrap(),
        }
    }

    /// Runs a bundler in a view of what is declared. What it makes will be in
    /// `dist` of the world.
    fn bundle(&self, bundler: &[&str], input: &str) -> Run {
        let name = format!("w/{APP}/dist");
        let action = self.action(bundler, input);
        action.output("directory", &name, "dist").run()
    }

    fn check_types(&self, configuration: &str) -> Run {
        self.action(&TSC, configuration).run()
    }

    fn action(&self, tool: &[&str], input: &str) -> Action<'w> {
        let declared = |field: &str| self.manifest[field].clone();
        let action = self.world.bare_action();
        let action = action
            .set("inputs", declared("inputs"))
            .set("working_directory", declared("working_directory"));
        action.command(["node"]).more(tool).more([input])
    }

    /// Rebuilds what is declared as a directory of the host: links as they are,
    /// files as `put` does it.
    fn lay_out(&self, name: &str, put: fn(&Path, &Path) -> io::Result<()>) -> PathBuf {
        let place = self.world.directory(name);
        for (name, input) in self.inputs() {
            let to = place.join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            match input["symlink"].as_str() {
                Some(target) => symlink(target, to).unwrap(),
                None => rebuild(host_path(input), &to, put),
            }
        }
        place
    }

    /// Whether a path of the view is, or lies below, a declared name.
    fn declares(&self, path: &Path) -> bool {
        path.strip_prefix("/w")
            .is_ok_and(|path| self.inputs().any(|(name, _)| path.starts_with(name)))
    }

    /// What is declared of the project, by its name there.
    fn inputs(&self) -> impl Iterator<Item = (&str, &Value)> {
        let inputs = self.manifest["inputs"].as_array().unwrap().iter();
        inputs.filter_map(|input| Some((input["name"].as_str()?.strip_prefix("w/")?, input)))
    }
}

fn host_path(input: &Value) -> &Path {
    let path = input["file"].as_str().or(input["directory"].as_str());
    Path::new(path.unwrap())
}

fn rebuild(from: &Path, to: &Path, put: fn(&Path, &Path) -> io::Result<()>) {
    if from.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            rebuild(&from.join(&name), &to.join(&name), put);
        }
    } else {
        put(from, to).unwrap();
    }
}

/// Has pnpm install the packages, in the version and from the lock file that the
/// example names. What npm and pnpm download is kept with Cargo's products.
fn install_packages(project: &Path) {
    // What root downloads is not for others to change.
    let user = if is_root() { "root" } else { "user" };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("npm")
        .join(user);
    fs::create_dir_all(&kept).unwrap();
    // Each test is a process; the first of them downloads for the others.
    let turn = File::create(kept.join("turn")).unwrap();
    turn.lock().unwrap();

    let workspace = fs::read(project.join("package.json")).unwrap();
    let workspace: Value = serde_json::from_slice(&workspace).unwrap();
    let mut pnpm = Command::new("npx");
    pnpm.args(["--yes", workspace["packageManager"].as_str().unwrap()]);
    pnpm.args(["install", "--frozen-lockfile", "--prefer-offline"]);
    pnpm.arg("--store-dir").arg(kept.join("store"));
    pnpm.env("npm_config_cache", kept.join("cache"));
    // A registry that does not answer is to be reported before the test runner
    // loses patience.
    pnpm.env("npm_config_fetch_timeout", "30000");
    pnpm.env("npm_config_fetch_retries", "1");
    let Output {
        status,
        stdout,
        stderr,
    } = pnpm.current_dir(project).output().unwrap();
    assert!(
        status.success(),
        "{pnpm:?} failed; it needs npm's registry when it runs for the first time:\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
}

/// A tool of the application, in a directory of the host.
fn tool_in(place: &Path, tool: &[&str], input: &str) -> Command {
    let mut node = Command::new("node");
    node.args(tool).arg(input).current_dir(place.join(APP));
    node
}

struct Bundle {
    code: String,
    /// What its source map says it was made of.
    sources: Vec<String>,
}

impl Bundle {
    fn read(path: &Path) -> Self {
        let map = fs::read(format!("{}.map", path.display())).unwrap();
        let map: Value = serde_json::from_slice(&map).unwrap();
        let sources = map["sources"].as_array().unwrap().iter();
        Self {
            code: fs::read_to_string(path).unwrap(),
            sources: sources
                .map(|source| source.as_str().unwrap().to_owned())
                .collect(),
        }
    }

    /// The packages of the store that went into it.
    fn packages(&self) -> BTreeSet<&str> {
        let in_store = self.sources.iter().filter_map(|source| {
            let (_, path) = source.rsplit_once("/node_modules/")?;
            path.split('/').next()
        });
        in_store.collect()
    }

    /// Where the sources lead from the directory that the bundle was made in.
    fn sources_from(&self, directory: &Path) -> Vec<PathBuf> {
        let from = |source: &String| {
            let mut path = directory.to_owned();
            for part in source.split('/') {
                match part {
                    ".." => assert!(path.pop()),
                    part => path.push(part),
                }
            }
            path
        };
        self.sources.iter().map(from).collect()
    }
}
