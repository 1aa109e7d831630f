//! Inputs cannot be changed from inside, whatever the action tries.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use transom_test::privileged;

use crate::world::{World, compile};

const ATTACK: &str = include_str!("attack.c");

type Picture = (Vec<u8>, u32, u32, u64, (i64, i64), (i64, i64));

fn picture(path: &Path) -> Picture {
    let metadata = fs::metadata(path).unwrap();
    let content = if metadata.is_dir() {
        Vec::new()
    } else {
        fs::read(path).unwrap()
    };
    (
        content,
        metadata.mode(),
        metadata.uid(),
        metadata.nlink(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

fn survive_every_attack(world: &World) {
    compile(world, "attack", ATTACK);
    let input = world.write("input", "precious\n");
    let inner = world.write("whole/inner", "precious too\n");
    let whole = world.path().join("whole");
    let before = [&input, &inner, &whole].map(|path| picture(path));

    // The same file in a directory of its own, in a whole directory, and in
    // directories that are writable otherwise.
    let run = world
        .run(
            &[
                "--file", "attack=@/attack",
                "--file", "read-only/input=@/input",
                "--dir", "whole=@/whole",
                "--file", "mixed/input=@/input",
                "--dir", "mixed/whole=@/whole",
                "--writable", "mixed",
                "--file", "input=@/input",
            ],
            "/attack /read-only/input /whole/inner /whole /mixed/input /mixed/whole/inner /mixed/whole /input",
        )
        .succeeded();
    assert_eq!(run.stdout(), "done\n");
    let after = [&input, &inner, &whole].map(|path| picture(path));
    assert_eq!(before, after);
}

#[test]
fn privileged_inputs_survive_root() {
    privileged!("be root inside a view");
    survive_every_attack(&World::root());
}

#[test]
fn inputs_survive_their_owner() {
    if let Some(world) = World::unprivileged() {
        survive_every_attack(&world);
    }
}

#[test]
fn the_attacks_work_where_nothing_defends() {
    // Otherwise the tests above could not fail.
    let world = World::root();
    let attack = compile(&world, "attack", ATTACK);
    let victim = world.write("victim", "x\n");
    let mut outside = world.command(attack.to_str().unwrap());
    let output = outside.arg(&victim).output().unwrap();
    // What root made immutable cannot be removed with the directory.
    for path in [&victim, world.path()] {
        Command::new("chattr").arg("-i").arg(path).output().unwrap();
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for attack in ["open for both", "truncate", "chmod", "utimensat", "unlink"] {
        assert!(
            printed.contains(&format!("plainly: {attack} of")),
            "{printed}"
        );
    }
}
