//! Which crate may use which: the picture in ARCHITECTURE.md, made true.

use std::fs;

use serde_json::Value;

use crate::repository::{assert_none, run};

/// Every crate of the workspace, with those of ours it may depend on. Tests
/// and build scripts may use `transom-test` besides.
const MAY_USE: &[(&str, &[&str])] = &[
    ("transom-module", &[]),
    ("transom-sys", &[]),
    ("transom-fuse", &["transom-module", "transom-sys"]),
    (
        "transom-host",
        &[
            "transom-block",
            "transom-fuse",
            "transom-module",
            "transom-sys",
        ],
    ),
    (
        "transom-block",
        &["transom-fuse", "transom-module", "transom-sys"],
    ),
    ("transom-passthrough", &["transom-module", "transom-sys"]),
    ("transom-projection", &["transom-module", "transom-sys"]),
    (
        "transom-sandbox",
        &["transom-module", "transom-projection", "transom-sys"],
    ),
    (
        "transom-bazel",
        &[
            "transom-fuse",
            "transom-module",
            "transom-passthrough",
            "transom-projection",
            "transom-sandbox",
        ],
    ),
    (
        "transom-daemon",
        &[
            "transom-block",
            "transom-control",
            "transom-fuse",
            "transom-host",
            "transom-module",
            "transom-projection",
            "transom-sandbox",
            "transom-sys",
        ],
    ),
    ("transom-control", &["transom-sys"]),
    ("transom-concat", &["transom-module"]),
    (
        "transom-view",
        &[
            "transom-fuse",
            "transom-module",
            "transom-projection",
            "transom-sandbox",
        ],
    ),
    ("transom-learn", &["transom-module", "transom-projection"]),
    (
        "transom",
        &[
            "transom-bazel",
            "transom-concat",
            "transom-control",
            "transom-daemon",
            "transom-fuse",
            "transom-host",
            "transom-learn",
            "transom-module",
            "transom-passthrough",
            "transom-projection",
            "transom-sandbox",
            "transom-sys",
            "transom-view",
        ],
    ),
    (
        "transom-test",
        &[
            "transom-bazel",
            "transom-fuse",
            "transom-module",
            "transom-projection",
            "transom-sandbox",
            "transom-sys",
        ],
    ),
    (
        "transom-bench",
        &[
            "transom",
            "transom-control",
            "transom-fuse",
            "transom-module",
            "transom-projection",
            "transom-sandbox",
            "transom-sys",
            "transom-test",
        ],
    ),
    // For the command line, of which it makes manual pages and completions.
    ("xtask", &["transom"]),
];

const FOR_TESTS: &str = "transom-test";

/// Crates whose tests may use another one, which the crate itself must not
/// know.
const TESTED_WITH: &[(&str, &str)] = &[
    ("transom-concat", "transom-fuse"),
    ("transom-host", "transom-passthrough"),
    ("transom-learn", "transom-passthrough"),
    ("transom-passthrough", "transom-fuse"),
];

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let mut violations = Vec::new();
    for package in workspace_packages() {
        let name = text(&package, "name");
        let Some((_, allowed)) = MAY_USE.iter().find(|(owner, _)| *owner == name) else {
            violations.push(format!("{name} is missing in MAY_USE of {}", file!()));
            continue;
        };
        for dependency in array(&package, "dependencies") {
            let used = text(&dependency, "name");
            let is_ours = MAY_USE.iter().any(|(owner, _)| *owner == used);
            let may_test_with =
                used == FOR_TESTS || TESTED_WITH.contains(&(name.as_str(), used.as_str()));
            let for_tests = may_test_with && text(&dependency, "kind") == "dev";
            if is_ours && !for_tests && !allowed.contains(&used.as_str()) {
                violations.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    assert_none(
        "A crate depends on another against the direction:",
        &violations,
    );
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() {
    let manifests = workspace_packages();
    let violations: Vec<_> = manifests
        .iter()
        .map(|package| text(package, "manifest_path"))
        .filter(|path| match fs::read_to_string(path) {
            Ok(manifest) => !manifest.contains("[lints]\nworkspace = true\n"),
            Err(error) => panic!("{path}: {error}"),
        })
        .map(|path| format!("{path}: add `[lints]` with `workspace = true`"))
        .collect();
    assert_none("A crate has lints of its own:", &violations);
}

fn workspace_packages() -> Vec<Value> {
    let metadata = run(
        env!("CARGO"),
        &[
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ],
    );
    let metadata = serde_json::from_str(&metadata).expect("cargo metadata prints JSON");
    array(&metadata, "packages")
}

fn array(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
