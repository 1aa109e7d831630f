//! Writable directories, with and without declared inputs in them.

use transom_test::privileged;

use crate::world::World;

fn mix_inputs_and_outputs(world: &World) {
    world.write("in", "input\n");
    world.write("tree/leaf", "leaf\n");
    let script = "
        cat out/gen/in out/tree/leaf out/link
        echo made > out/made; echo made > out/obj/deep/made; mkdir out/gen/dir
        echo x 2> /dev/null > out/gen/in || echo protected
        echo x 2> /dev/null > out/tree/new || echo protected
        rm -rf out/gen/in out/tree 2> /dev/null || echo protected
        mv out/tree out/elsewhere 2> /dev/null || echo protected
        ls out out/obj
    ";
    let run = world
        .run(
            &[
                "--file",
                "out/gen/in=@/in",
                "--dir",
                "out/tree=@/tree",
                "--file",
                "out/link=@/in",
                "--out-dir",
                "out=@/result",
                "--out",
                "out/obj/deep/made=@/deep-made",
                "--writable",
                "out/gen",
            ],
            script,
        )
        .succeeded();
    assert_eq!(
        run.stdout(),
        "input\nleaf\ninput\nprotected\nprotected\nprotected\nprotected\n\
         out:\ngen\nlink\nmade\nobj\ntree\n\nout/obj:\ndeep\n"
    );
    // Inputs are not part of an output.
    assert_eq!(world.read("result/made"), "made\n");
    assert_eq!(world.read("deep-made"), "made\n");
    for input in ["result/gen/in", "result/tree", "result/link"] {
        assert!(!world.path().join(input).exists(), "{input}");
    }
    assert_eq!(world.names(), ["deep-made", "in", "result", "tree"]);
}

#[test]
fn privileged_mixed_directories() {
    privileged!("run an action as root");
    mix_inputs_and_outputs(&World::root());
}

#[test]
fn mixed_directories() {
    if let Some(world) = World::unprivileged() {
        mix_inputs_and_outputs(&world);
    }
}

#[test]
fn privileged_writable_root() {
    privileged!("run an action as root");
    let world = World::root();
    world.write("main.c", "int main(void) { return 3; }\n");
    let options = ["--file", "main.c=@/main.c", "--out", "a.out=@/a.out"];
    let script = "gcc main.c && ./a.out; echo $?; touch stray; ls; grep -c . main.c";
    let run = world.run(&options, script).succeeded();
    assert_eq!(
        run.stdout(),
        "3\na.out\nbin\ndev\nlib\nlib64\nmain.c\nproc\nsbin\nstray\ntmp\nusr\n1\n"
    );
    assert_eq!(run.stderr(), "run_in_view: undeclared write: stray\n");
    assert_eq!(world.names(), ["a.out", "main.c"]);
}

fn hide_the_output_of_an_earlier_run(world: &World) {
    // The whole directory is declared, and what the last run made lies in it.
    world.write("project/src", "1\n");
    world.write("project/out/result", "old\n");
    let options = [
        "--dir",
        "project=@/project",
        "--out",
        "project/out/result=@/project/out/result",
    ];
    let script = "ls project/out; cat project/src > project/out/result";
    let run = world.run(&options, script).succeeded();
    assert_eq!(run.stdout(), "");
    assert_eq!(world.read("project/out/result"), "1\n");
}

#[test]
fn privileged_output_of_an_earlier_run() {
    privileged!("run an action as root");
    hide_the_output_of_an_earlier_run(&World::root());
}

#[test]
fn output_of_an_earlier_run() {
    if let Some(world) = World::unprivileged() {
        hide_the_output_of_an_earlier_run(&world);
    }
}

fn compile_as_outside(world: &World) {
    let source = "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n";
    world.write("src/main.c", source);
    let options = [
        "--file",
        "src/main.c=@/src/main.c",
        "--out",
        "out/main.o=@/inside.o",
    ];
    world
        .run(&options, "gcc -g0 -O2 -c src/main.c -o out/main.o")
        .succeeded();
    let mut outside = world.command("gcc");
    let outside = outside.args(["-g0", "-O2", "-c", "src/main.c", "-o", "outside.o"]);
    assert!(outside.status().unwrap().success());
    let object = |name| std::fs::read(world.path().join(name)).unwrap();
    assert_eq!(object("inside.o"), object("outside.o"));
}

#[test]
fn privileged_compile() {
    privileged!("run an action as root");
    compile_as_outside(&World::root());
}

#[test]
fn compile() {
    if let Some(world) = World::unprivileged() {
        compile_as_outside(&world);
    }
}

fn temporary_files_on_disk(world: &World) {
    let script = "df --output=source /tmp | tail -1; stat -c %a /tmp; echo x > /tmp/file; ls -a .transom* 2>/dev/null";
    let private = world.run(&[], script).stdout();
    assert!(private.starts_with("transom-private\n1777\n"), "{private}");
    let disk = world.run(&["--tmp", "scratch"], script).stdout();
    assert!(
        disk.ends_with("\n1777\n") && !disk.starts_with("transom"),
        "{disk}"
    );
    assert!(world.names().is_empty());
}

#[test]
fn privileged_temporary_files() {
    privileged!("run an action as root");
    temporary_files_on_disk(&World::root());
}

#[test]
fn temporary_files() {
    if let Some(world) = World::unprivileged() {
        temporary_files_on_disk(&world);
    }
}
