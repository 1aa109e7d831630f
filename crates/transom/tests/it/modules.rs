//! Listing modules, enabling them, and the links for mount(8).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::world::World;

#[test]
fn modules_are_listed() {
    let world = World::here();
    let output = world.run_transom(["modules"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let [head, module, ..] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    for (column, value) in [
        ("MODULE", "passthrough"),
        ("ENABLED", "yes"),
        ("LOADS", "directory"),
    ] {
        let at = head.find(column).expect(column);
        assert!(module[at..].starts_with(value), "{column}\n{text}");
    }

    let output = world.run_transom(["modules", "--json"]);
    let modules: Value = serde_json::from_slice(&output.stdout).unwrap();
    let module = &modules[0];
    assert_eq!(module["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(module["name"], "passthrough");
    assert_eq!(module["enabled"], true);
    assert_eq!(module["resources"], serde_json::json!(["directory"]));
    let capabilities = module["capabilities"].as_array().unwrap();
    assert!(capabilities.contains(&"Changes".into()), "{module}");
    assert_eq!(module["options"][0]["name"], "cache");
}

#[test]
fn a_full_standard_output_is_an_error_and_a_closed_one_is_not() {
    let world = World::here();
    for arguments in [
        &["modules"][..],
        &["modules", "--json"],
        &["run", "--dry-run", "--", "true"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = world.transom().args(arguments).stdout(full).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            complaint.starts_with("transom: cannot write to standard output: "),
            "{arguments:?}: {complaint}"
        );

        let (reader, nobody_reads) = io::pipe().unwrap();
        drop(reader);
        let output = world
            .transom()
            .args(arguments)
            .stdout(nobody_reads)
            .output();
        assert!(output.unwrap().status.success(), "{arguments:?}");
    }
}

#[test]
fn what_is_disabled_stays_disabled() {
    let world = World::here();
    let modules = |arguments: &[&str]| {
        let mut transom = world.transom();
        transom.env("TRANSOM_MODULES", world.path().join("etc/modules.json"));
        transom.arg("modules").args(arguments).output().unwrap()
    };
    let is_enabled = || {
        let listed: Value = serde_json::from_slice(&modules(&["--json"]).stdout).unwrap();
        listed[0]["enabled"].as_bool().unwrap()
    };
    let output = modules(&["disable", "passthrough"]);
    assert_eq!(output.status.code(), Some(125));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("etc/modules.json"), "{complaint}");
    assert!(!world.path().join("etc").exists());

    world.directory("etc");
    for enabled in [false, true] {
        let word = if enabled { "enable" } else { "disable" };
        assert!(modules(&[word, "passthrough"]).status.success());
        assert_eq!(is_enabled(), enabled);
    }
    let output = modules(&["disable", "pasthrough"]);
    assert_eq!(output.status.code(), Some(125));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("`pasthrough`") && complaint.contains("passthrough"));

    world.file("etc/modules.json", "{");
    let output = modules(&[]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("etc/modules.json"), "{complaint}");
}

#[test]
fn helpers_are_linked_and_removed() {
    let world = World::here();
    let install = |arguments: &[&str]| {
        let arguments = ["install-helper", "--root", "root"].iter().chain(arguments);
        world.run_transom(arguments)
    };
    let links = ["mount.fuse.transom", "mount.fuse.transom-passthrough"];
    let link = |name: &str| world.path().join("root/sbin").join(name);
    for arguments in [&[][..], &["--remove"]] {
        let output = install(arguments);
        assert_eq!(output.status.code(), Some(125));
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains("no directory root;"), "{complaint}");
        assert!(!world.path().join("root").exists());
    }
    world.directory("root");
    // Again: what links to an older program is replaced.
    for _ in 0..2 {
        assert!(install(&[]).status.success());
        for name in links {
            let program = fs::read_link(link(name)).unwrap();
            assert!(program.is_absolute() && program.ends_with("transom"));
        }
    }
    fs::remove_file(link(links[1])).unwrap();
    symlink("/nowhere", link(links[1])).unwrap();
    for _ in 0..2 {
        assert!(install(&["--remove"]).status.success());
        assert_eq!(
            fs::read_dir(world.path().join("root/sbin"))
                .unwrap()
                .count(),
            0
        );
    }

    world.file("root/sbin/mount.fuse.transom", "somebody else's");
    for arguments in [&[][..], &["--remove"]] {
        let output = install(arguments);
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(
            world.read("root/sbin/mount.fuse.transom"),
            "somebody else's"
        );
    }
}
