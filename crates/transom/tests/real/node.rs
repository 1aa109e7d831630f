//! Module resolution that walks up the parent directories, which is where a
//! symlink farm leaks: node resolves a link to the real file first, and then
//! looks into the real directories above that.
//!
//! ```text
//!   project/node_modules/declared/           declared
//!   project/node_modules/undeclared/         what the real parent has besides
//!   project/packages/app/main.cjs, main.mjs  declared; they want both
//! ```

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::c_project::printed;
use crate::world::{World, over_both_engines};

over_both_engines!(modules_resolve_inside);

/// What is declared, relative to the project.
const DECLARED: [&str; 4] = [
    "node_modules/declared/package.json",
    "node_modules/declared/index.js",
    "packages/app/main.cjs",
    "packages/app/main.mjs",
];

const COMMONJS: &str = r#"
const fs = require("fs"), path = require("path");
const attempt = (action) => { try { return action(); } catch (error) { return error.code; } };
const here = fs.realpathSync(__filename);
console.log(JSON.stringify({
    declared: attempt(() => require("declared")),
    undeclared: attempt(() => require("undeclared")),
    resolved: attempt(() => require.resolve("declared")),
    resolvedUndeclared: attempt(() => require.resolve("undeclared")),
    here,
    native: fs.realpathSync.native(__filename),
    module: __filename,
    packages: fs.readdirSync(path.join(here, "../../../node_modules")),
}));
"#;

const MODULE: &str = r#"
const attempt = (name) => import(name).then((module) => module.default, (error) => error.code);
console.log(JSON.stringify({
    declared: await attempt("declared"),
    undeclared: await attempt("undeclared"),
    url: import.meta.url,
}));
"#;

const DECLARED_PACKAGE: &str = "the declared package";
const UNDECLARED_PACKAGE: &str = "the undeclared package";

fn make_project(world: &World) {
    for (name, says) in [
        ("declared", DECLARED_PACKAGE),
        ("undeclared", UNDECLARED_PACKAGE),
    ] {
        let package = format!("project/node_modules/{name}");
        let description = json!({ "name": name, "main": "index.js" });
        world.file(format!("{package}/package.json"), description.to_string());
        world.file(
            format!("{package}/index.js"),
            format!("module.exports = {says:?};\n"),
        );
    }
    world.file("project/packages/app/main.cjs", COMMONJS);
    world.file("project/packages/app/main.mjs", MODULE);
}

fn modules_resolve_inside(world: &World) {
    make_project(world);
    let in_view = |main: &str| -> Value {
        let mut action = world.action();
        for name in DECLARED {
            let path = world.path().join("project").join(name);
            action = action.file(&format!("w/{name}"), path);
        }
        let run = action.command(["node", main]).run().succeeded();
        serde_json::from_str(&run.stdout()).unwrap()
    };
    assert_eq!(
        in_view("packages/app/main.cjs"),
        json!({
            "declared": DECLARED_PACKAGE,
            "undeclared": "MODULE_NOT_FOUND",
            "resolved": "/w/node_modules/declared/index.js",
            "resolvedUndeclared": "MODULE_NOT_FOUND",
            "here": "/w/packages/app/main.cjs",
            "native": "/w/packages/app/main.cjs",
            "module": "/w/packages/app/main.cjs",
            "packages": ["declared"],
        })
    );
    assert_eq!(
        in_view("packages/app/main.mjs"),
        json!({
            "declared": DECLARED_PACKAGE,
            "undeclared": "ERR_MODULE_NOT_FOUND",
            "url": "file:///w/packages/app/main.mjs",
        })
    );
}

/// The same declaration as a symlink farm, for comparison.
#[test]
fn a_symlink_farm_leaks() {
    let world = World::root(crate::world::Engine::Mounts);
    make_project(&world);
    let project = world.path().join("project");
    for name in DECLARED {
        let link = world.path().join("farm").join(name);
        world.directory(link.parent().unwrap());
        symlink(project.join(name), link).unwrap();
    }
    let in_farm = |main: &str| -> Value {
        let mut node = world.command("node");
        node.arg(world.path().join("farm/packages/app").join(main));
        serde_json::from_str(&printed(&mut node)).unwrap()
    };
    let real = |name: &str| project.join(name).to_str().unwrap().to_owned();
    assert_eq!(
        in_farm("main.cjs"),
        json!({
            "declared": DECLARED_PACKAGE,
            "undeclared": UNDECLARED_PACKAGE,
            "resolved": real("node_modules/declared/index.js"),
            "resolvedUndeclared": real("node_modules/undeclared/index.js"),
            "here": real("packages/app/main.cjs"),
            "native": real("packages/app/main.cjs"),
            "module": real("packages/app/main.cjs"),
            "packages": ["declared", "undeclared"],
        })
    );
    assert_eq!(
        in_farm("main.mjs"),
        json!({
            "declared": DECLARED_PACKAGE,
            "undeclared": UNDECLARED_PACKAGE,
            "url": format!("file://{}", real("packages/app/main.mjs")),
        })
    );
}
