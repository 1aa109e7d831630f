//! A build that declares nothing: make compiles two hundred units, is learnt,
//! and makes the same, byte for byte, with what was learnt and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::c_project::{printed, succeeded};
use crate::world::{World, over_fuse};

over_fuse!(two_hundred_units);

const UNITS: usize = 200;

/// Objects go beside the sources, as many projects have it, and dependencies
/// with them.
const MAKEFILE: &str = "\
UNITS := $(sort $(wildcard src/*/*.c))
OBJECTS := $(UNITS:.c=.o)
build/program: $(OBJECTS)
\t@mkdir -p build
\t@gcc -o $@ $^
%.o: %.c
\t@gcc -g -O1 -MMD -MP -Iinclude -c $(CURDIR)/$< -o $@
-include $(OBJECTS:.o=.d)
";

fn write_project(world: &World) {
    world.file("Makefile", MAKEFILE);
    let mut declarations = String::new();
    let mut calls = String::new();
    for unit in 0..UNITS {
        let _ = writeln!(declarations, "const char *unit_{unit}(void);");
        let _ = writeln!(calls, "    puts(unit_{unit}());");
        let header = unit % 10;
        let source = format!(
            "#include \"units.h\"\n#include \"part_{header}.h\"\n\
             const char *unit_{unit}(void) {{ return PART(__FILE__); }}\n"
        );
        world.file(format!("src/{header}/unit_{unit}.c"), source);
    }
    for header in 0..10 {
        let text = format!("#define PART(file) \"{header} \" file\n");
        world.file(format!("include/part_{header}.h"), text);
    }
    world.file("include/units.h", declarations);
    world.file("include/unused.h", "#error nobody includes this\n");
    let main = format!(
        "#include <stdio.h>\n#include \"units.h\"\nint main(void) {{\n{calls}    return 0;\n}}\n"
    );
    world.file("src/main/main.c", main);
}

fn two_hundred_units(world: &World) {
    write_project(world);
    let jobs = ["make", "-j2"];
    succeeded(world.command("make").arg("-j2"));
    let native = made(world);
    assert_eq!(native.len(), 2 * (UNITS + 1) + 1);
    remove(world, &native);

    let mut learn = world.transom();
    learn.args(["wrap", "learn", "--manifest", "learnt.json", "--"]);
    let learnt = succeeded(learn.args(jobs));
    assert!(made(world) == native, "what is learnt is not the build");
    if world.is_root() {
        let said = String::from_utf8_lossy(&learnt.stderr);
        assert!(said.contains("of them READ 0"), "{said}");
    }
    remove(world, &native);

    let mut enforce = world.transom();
    enforce.args(["wrap", "enforce", "--manifest", "learnt.json"]);
    succeeded(&mut enforce);
    let enforced = made(world);
    let names = |made: &BTreeMap<String, Vec<u8>>| made.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&enforced), names(&native));
    for (name, bytes) in &native {
        assert!(enforced[name] == *bytes, "{name} differs");
    }

    // What the program, the debugger and make are told are the paths here.
    let source = format!("{}/src/7/unit_7.c", world.path().display());
    let says = printed(world.command("sh").args(["-c", "build/program"]));
    assert!(says.contains(&format!("7 {source}\n")), "{says}");
    let mut readelf = Command::new("readelf");
    let object = world.path().join("src/7/unit_7.o");
    let debug = printed(readelf.args(["--debug-dump=info", "--wide"]).arg(object));
    assert!(debug.contains(&source), "{debug}");
    assert!(world.read("src/7/unit_7.d").contains(&source));
    assert!(!world.read("learnt.json").contains("include/unused.h"));
}

/// Everything that the build makes, with its content.
fn made(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut made = BTreeMap::new();
    let mut add = |path: &Path| {
        let name = path.strip_prefix(world.path()).unwrap();
        let name = name.to_str().unwrap().to_owned();
        made.insert(name, fs::read(path).unwrap());
    };
    for part in fs::read_dir(world.path().join("src")).unwrap() {
        for entry in fs::read_dir(part.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension != "c") {
                add(&path);
            }
        }
    }
    add(&world.path().join("build/program"));
    made
}

fn remove(world: &World, made: &BTreeMap<String, Vec<u8>>) {
    for name in made.keys() {
        fs::remove_file(world.path().join(name)).unwrap();
    }
}
