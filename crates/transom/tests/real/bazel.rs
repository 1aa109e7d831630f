//! A build as Bazel does it over its sandbox backend protocol: zlib, file by
//! file, then a library of them, then a program that is run. Each action is
//! given what it depends on and nothing else.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use transom_test::bazel::{Action, Bazel, Input};
use transom_test::privileged;

use crate::c_project::{FLAGS, printed, succeeded, unpack};
use crate::world::{Engine, World, unprivileged_case};

/// Where generated files are, below the exec root.
const OUT: &str = "bazel-out/k8-fastbuild/bin/zlib";

/// Compiles that Bazel has under way at once.
const JOBS: usize = 2;

#[test]
fn privileged_a_library_is_built_and_the_kernel_reads_it() {
    privileged!("serve sandboxes that the kernel reads by itself");
    let said = build(&World::root(Engine::Fuse));
    assert!(said.trim_end().ends_with(" opens_by_transom=0"), "{said}");
    assert!(!said.contains(" opens_by_the_kernel=0 "), "{said}");
}

#[test]
fn a_library_is_built_without_privilege() {
    unprivileged_case(Engine::Fuse, |world| {
        build(world);
    });
}

/// Builds, and returns what the backend says at its end.
fn build(world: &World) -> String {
    let units = unpack(world);
    let workspace = world.directory("base/execroot/_main");
    // As Bazel plants it: the exec root has links to the sources.
    std::os::unix::fs::symlink(world.path().join("zlib"), workspace.join("zlib")).unwrap();
    let mut program = world.transom();
    program.arg("bazel-sandbox");
    program.env("TRANSOM_LOG", "warn,transom=info");
    let bazel = Bazel::start(program, &workspace, &[]).unwrap();
    let bazel = bazel.starting_by(world.starter());

    let compiles: Vec<Action> = units.iter().map(|unit| compile(world, unit)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(compile) = compiles.get(index) else {
                        break;
                    };
                    execute(&bazel, &units[index], compile);
                }
            });
        }
    });
    // As after `bazel clean`.
    for (unit, compile) in units.iter().zip(&compiles) {
        bazel.create(unit, compile).unwrap();
        bazel.destroy(unit).unwrap();
    }
    for unit in &units {
        let mut native = world.command("gcc");
        native.current_dir(&workspace).args(FLAGS);
        native.args(["-c", &format!("zlib/{unit}.c"), "-o", "../native.o"]);
        succeeded(native.arg(format!("-fdebug-prefix-map={}=/exec", workspace.display())));
        let native = std::fs::read(world.path().join("base/execroot/native.o")).unwrap();
        let ours = std::fs::read(workspace.join(OUT).join(format!("{unit}.o"))).unwrap();
        assert!(native == ours, "{unit}.o differs");
    }

    let objects: Vec<String> = units.iter().map(|unit| format!("{OUT}/{unit}.o")).collect();
    let library = format!("{OUT}/libz.a");
    let parameters = format!("rcsD\n{library}\n{}\n", objects.join("\n"));
    let mut archive = action(
        "CppArchive",
        &["ar", &format!("@{library}-2.params")],
        &objects,
        &library,
    );
    archive.inputs.push(Input::Virtual {
        path: format!("{library}-2.params"),
        bytes: parameters.into(),
    });
    execute(&bazel, "archive", &archive);

    world.file("main/main.c", MAIN);
    std::os::unix::fs::symlink(world.path().join("main"), workspace.join("main")).unwrap();
    let program = format!("{OUT}/main");
    let inputs = ["main/main.c", "zlib/zlib.h", "zlib/zconf.h", &library].map(String::from);
    let link = ["gcc", "-Izlib", "main/main.c", &library, "-o", &program];
    execute(&bazel, "link", &action("CppLink", &link, &inputs, &program));
    let version = printed(&mut Command::new(workspace.join(&program)));
    assert!(version.starts_with("1."), "{version}");

    let (status, said) = bazel.shut_down().unwrap();
    assert!(status.success(), "{said}");
    // The second time nothing is made: each root is found, and no more asked.
    let found = format!("directories_found: {},", units.len());
    assert!(said.contains(&found), "{said}");
    // The headers are opened once, whoever needs them, and so is the rest; but two
    // that need one at the same moment may both open it.
    let opened = said.split_once("files_opened: ").unwrap().1;
    let opened: usize = opened.split_once(',').unwrap().0.parse().unwrap();
    let headers = std::fs::read_dir(world.path().join("zlib"))
        .unwrap()
        .flatten();
    let headers = headers.filter(|entry| entry.path().extension().is_some_and(|it| it == "h"));
    assert!(
        opened <= 2 * units.len() + 2 * headers.count() + 2,
        "{said}"
    );
    println!("{said}");
    said
}

const MAIN: &str = "#include <stdio.h>\n#include \"zlib.h\"\n\
                    int main(void) { puts(zlibVersion()); return 0; }\n";

fn compile(world: &World, unit: &str) -> Action {
    let source = format!("zlib/{unit}.c");
    let mut dependencies = world.command("gcc");
    let rule = printed(dependencies.arg("-MM").args(FLAGS).arg(&source));
    let (_, inputs) = rule.split_once(':').unwrap();
    let inputs: Vec<String> = inputs
        .split_whitespace()
        .filter(|word| *word != "\\")
        .map(String::from)
        .collect();
    let object = format!("{OUT}/{unit}.o");
    let here = world.path().join("base/execroot/_main");
    let map = format!("-fdebug-prefix-map={}=/exec", here.display());
    let mut command = vec!["gcc"];
    command.extend(FLAGS);
    command.extend(["-c", &source, "-o", &object, &map]);
    action("CppCompile", &command, &inputs, &object)
}

fn action(mnemonic: &str, command: &[&str], inputs: &[String], output: &str) -> Action {
    Action {
        mnemonic: mnemonic.into(),
        command: command.iter().map(ToString::to_string).collect(),
        inputs: inputs.iter().cloned().map(Input::File).collect(),
        outputs: vec![output.into()],
        // For the temporary files of the compiler.
        writable_paths: vec!["/tmp".into()],
        ..Action::default()
    }
}

#[track_caller]
fn execute(bazel: &Bazel, id: &str, action: &Action) {
    let output = bazel.execute(id, action).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{id}: {}: {complaints}",
        output.status
    );
    assert!(Path::new(&action.outputs[0]).is_relative());
}
