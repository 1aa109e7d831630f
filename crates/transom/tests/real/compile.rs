//! A real C project, compiled inside views by the host's gcc: the object files
//! are, byte for byte, those that it makes outside.

use std::path::PathBuf;

use serde_json::json;

use crate::action::Run;
use crate::c_project::{FLAGS, printed, succeeded, toolchain, unpack};
use crate::world::{Engine, World, over_both_engines};

over_both_engines!(file_by_file, whole_directories);

/// Every file that a compile needs is declared by itself: the sources and
/// headers by the compiler's own dependency file, the compiler by the files it
/// consists of.
fn file_by_file(world: &World) {
    let units = unpack(world);
    let toolchain = toolchain();
    let here = world.path().display();
    // The one thing that differs is where the compile takes place.
    let outside = format!("-fdebug-prefix-map={here}=.");
    for unit in &units {
        let source = format!("zlib/{unit}.c");
        let dependencies = printed(world.command("gcc").arg("-M").args(FLAGS).arg(&source));
        world.file(format!("{unit}.d"), dependencies);
        let mut native = world.command("gcc");
        native.args(FLAGS).args([&outside, "-c", &source, "-o"]);
        succeeded(native.arg(format!("outside-{unit}.o")));

        let run = compile_in_view(world, &toolchain, unit, unit).succeeded();
        assert_eq!(
            object(world, &format!("inside-{unit}.o")),
            object(world, &format!("outside-{unit}.o")),
            "{unit}.o differs"
        );
        assert_all_declared_and_read_by_the_kernel(world, &run);
    }
    // A unit that wants more headers than are declared does not find them.
    let run = compile_in_view(world, &toolchain, "inflate", "adler32");
    let run = run.exited(1).says("inftrees.h: No such file or directory");
    assert_eq!(run.report()["outputs"][0]["state"], "discarded");
}

/// Compiles `unit` in a view of it and of what `declared` depends on.
fn compile_in_view(
    world: &World,
    toolchain: &[(String, PathBuf)],
    unit: &str,
    declared: &str,
) -> Run {
    let source = format!("zlib/{unit}.c");
    let mut action = world
        .bare_action()
        .file(&format!("w/{source}"), world.path().join(&source))
        .input(json!({ "depfile": format!("{declared}.d"), "under": "w" }))
        .symlink("lib", "usr/lib")
        .symlink("lib64", "usr/lib64")
        .output("file", "w/out/object.o", format!("inside-{unit}.o"));
    for (name, path) in toolchain {
        action = action.file(name, path);
    }
    let command = ["gcc", "-fdebug-prefix-map=/w=.", "-c", &source];
    let output = ["-o", "out/object.o"];
    action
        .command(command.iter().chain(&FLAGS).chain(&output))
        .run()
}

fn assert_all_declared_and_read_by_the_kernel(world: &World, run: &Run) {
    let report = run.report();
    assert_eq!(report["declared"]["whole_directories"], 0);
    assert_eq!(report["changed_inputs"], json!([]));
    assert_read_by_the_kernel(world, run);
}

/// That not one byte of the inputs came from transom, as far as the kernel lets
/// the user do without.
pub(crate) fn assert_read_by_the_kernel(world: &World, run: &Run) {
    let requests = &run.report()["requests"];
    match world.engine {
        Engine::Mounts => assert_eq!(requests["total"], 0, "{requests}"),
        Engine::Fuse if world.is_root() => {
            assert!(requests["total"].as_u64() > Some(0), "{requests}");
            assert_eq!(requests["read"], 0, "{requests}");
        }
        // The kernel wants privilege for passthrough.
        Engine::Fuse => assert!(requests["read"].as_u64() > Some(0), "{requests}"),
    }
}

/// The toolchain and the sources are declared as two directories, and the
/// sources are at the same path inside as outside, which debuggers see.
fn whole_directories(world: &World) {
    let units = unpack(world);
    let compile = format!(
        "set -e; cd zlib; for unit in {}; do gcc {} -pipe -c $unit.c -o ../$OBJECTS/$unit.o; done
         ar rcs ../$OBJECTS/libz.a ../$OBJECTS/*.o",
        units.join(" "),
        FLAGS.join(" "),
    );
    world.directory("outside");
    let mut native = world.command("sh");
    succeeded(native.args(["-c", &compile]).env("OBJECTS", "outside"));

    let here = world.path().to_str().unwrap();
    let name = |name: &str| format!("{here}/{name}")[1..].to_owned();
    let run = world
        .action()
        .set("tmp", "none")
        .set("working_directory", &here[1..])
        .directory(&name("zlib"), world.path().join("zlib"))
        .output("directory", &name("inside"), "inside")
        .args(["--env", "OBJECTS=inside"])
        .sh(&compile)
        .run()
        .succeeded();
    assert_eq!(run.report()["undeclared_writes"], json!([]));
    let made = units.iter().map(|unit| format!("{unit}.o"));
    for name in made.chain(["libz.a".to_owned()]) {
        assert_eq!(
            object(world, &format!("inside/{name}")),
            object(world, &format!("outside/{name}")),
            "{name} differs"
        );
    }
}

/// What is in an object file, or in a library of them.
#[track_caller]
fn object(world: &World, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(world.path().join(name)).unwrap();
    assert!(bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"!<arch>\n"));
    bytes
}
