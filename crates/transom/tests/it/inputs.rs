//! What can be declared, and in how many ways.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::world::{World, over_both_engines};

over_both_engines!(
    every_kind_of_input,
    directories_as_a_whole,
    executable_bits,
    names_that_are_not_text,
    file_lists,
    file_lists_given_by_flags,
    depfiles,
    depfiles_given_by_flags,
    mappings_given_by_flags,
    the_command_of_the_readme,
    a_manifest_from_standard_input,
    attributes_of_the_host_file,
    one_host_file_under_several_names,
    large_files,
    many_names_in_one_directory,
);

fn every_kind_of_input(world: &World) {
    let file = world.file("src/main.c", "int main;\n");
    let tree = world.file("tree/below/leaf", "leaf\n");
    let action = world
        .action()
        .file("w/src/main.c", file)
        .directory("w/tree", tree.ancestors().nth(2).unwrap())
        .symlink("w/link", "src/main.c")
        .symlink("w/dangling", "nowhere")
        .input(json!({ "name": "w/empty", "empty_directory": true }));
    let printed = action.prints(
        "cat src/main.c tree/below/leaf link; readlink link dangling; ls -F; ls -A empty | wc -l",
    );
    assert_eq!(
        printed,
        "int main;\nleaf\nint main;\nsrc/main.c\nnowhere\ndangling@\nempty/\nlink@\nsrc/\ntree/\n0\n"
    );
}

fn directories_as_a_whole(world: &World) {
    world.file("tree/a", "a\n");
    world.file("tree/deep/er/b", "b\n");
    let outside = world.file("outside", "secret\n");
    symlink("deep/er/b", world.path().join("tree/inner")).unwrap();
    symlink(&outside, world.path().join("tree/outer")).unwrap();
    let action = world.action().directory("w", world.path().join("tree"));
    let run = action
        .sh("cat a deep/er/b inner; find . | sort; cat outer")
        .run();
    // A link that leads out of the directory is shown, and leads nowhere.
    assert_eq!(
        run.stdout(),
        "a\nb\nb\n.\n./a\n./deep\n./deep/er\n./deep/er/b\n./inner\n./outer\n"
    );
    run.exited(1).says("No such file or directory");
}

fn executable_bits(world: &World) {
    let script = "#!/bin/sh\necho ran\n";
    let plain = world.file("plain", script);
    let program = world.file("program", script);
    fs::set_permissions(&plain, Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let action = world
        .action()
        .file("w/plain", &plain)
        .file("w/program", &program)
        .input(json!({ "name": "w/given", "file": plain, "executable": true }))
        .input(json!({ "name": "w/taken", "file": program, "executable": false }));
    let run = action
        .sh("./given; ./program; ./plain; echo $?; ./taken; echo $?; stat -c '%a %n' *; cat taken given")
        .run();
    assert_eq!(
        run.stdout(),
        format!(
            "ran\nran\n126\n126\n750 given\n640 plain\n755 program\n644 taken\n{script}{script}"
        )
    );
    // The host's are as they were.
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&plain), mode(&program)), (0o640, 0o755));
}

fn names_that_are_not_text(world: &World) {
    // `caf\xe9` and, in a directory named `\xff`, a name with every odd byte
    // that has a meaning to some program.
    let odd = OsStr::from_bytes(b"\xff/ \t\n\\\"'$`*:=#\x01\x7f");
    world.file(OsStr::from_bytes(b"caf\xe9"), "coffee\n");
    world.file(odd, "odd\n");
    let base64 = |bytes: &[u8]| json!({ "base64": BASE64_STANDARD.encode(bytes) });
    let below = |name: &[u8]| base64(&[b"w/", name].concat());
    let mut action = world.action();
    for name in [b"caf\xe9", odd.as_bytes()] {
        action = action.input(json!({ "name": below(name), "file": base64(name) }));
    }
    let action = action.input(json!({ "name": "w/link", "symlink": base64(b"caf\xe9") }));
    let run = action
        .sh("cat link; for name in * */*; do printf '[%s]' \"$name\"; cat \"$name\" 2> /dev/null; done")
        .run();
    let expected =
        b"coffee\n[caf\xe9]coffee\n[link]coffee\n[\xff][\xff/ \t\n\\\"'$`*:=#\x01\x7f]odd\n";
    assert_eq!(
        run.stdout.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

fn file_lists(world: &World) {
    world.file("src/a.c", "a\n");
    world.file("src/deep/b.c", "b\n");
    world.file("sdk/with\nnewline.h", "odd\n");
    world.file("sdk/tree/c.h", "c\n");
    let absolute = world.file("absolute", "absolute\n");
    let lines = format!("src/a.c\n./src//deep/b.c\n\n{}\n", absolute.display());
    world.file("sources", lines);
    world.file("headers", "with\nnewline.h\0tree/\0");
    let action = world
        .action()
        // The absolute path lies below it.
        .set("tmp", "none")
        .input(json!({ "file_list": "sources", "under": "w" }))
        .input(json!({ "file_list": "headers", "under": "w/include", "relative_to": "sdk", "separator": "nul" }));
    let printed = action.prints(&format!(
        "cat src/a.c src/deep/b.c 'include/with\nnewline.h' include/tree/c.h {}; ls src",
        absolute.display()
    ));
    assert_eq!(printed, "a\nb\nodd\nc\nabsolute\na.c\ndeep\n");
}

fn file_lists_given_by_flags(world: &World) {
    world.file("src/a.c", "a\n");
    world.file("src/b.c", "b\n");
    world.file("lines", "src/a.c\n");
    world.file("strings", "src/b.c\0");
    let action = world
        .action()
        .args(["--file-list", "lines", "--file-list0", "strings"]);
    assert_eq!(action.prints("cat src/*"), "a\nb\n");
}

fn depfiles(world: &World) {
    world.file(
        "main.c",
        "#include \"with space.h\"\nint main(void) { return CODE; }\n",
    );
    world.file("with space.h", "#define CODE 7\n");
    let mut gcc = world.command("gcc");
    let status = gcc.args(["-MD", "-MP", "-c", "main.c"]).status().unwrap();
    assert!(status.success());
    // Declared already: not twice.
    let main = world.path().join("main.c");
    let action = world
        .action()
        .file("w/main.c", main)
        .input(json!({ "depfile": "main.d", "under": "w" }));
    let run = action
        .sh("ls && gcc -o /tmp/main main.c && /tmp/main")
        .run();
    assert_eq!(run.stdout(), "main.c\nwith space.h\n");
    run.exited(7);
}

fn depfiles_given_by_flags(world: &World) {
    world.file("a.c", "a\n");
    world.file("deps", "a.o: a.c /usr/include/stdio.h\n");
    let action = world.action().args(["--depfile", "deps"]);
    assert_eq!(action.prints("cat a.c"), "a\n");
}

fn mappings_given_by_flags(world: &World) {
    world.file("src/main.c", "main\n");
    world.file("sdk/include/sdk.h", "sdk\n");
    let mut transom = world.transom();
    transom.args(["run", "--engine", world.engine.name()]);
    transom.args([
        "--ro", "/usr", "--ro", "/bin", "--ro", "/lib", "--ro", "/lib64",
    ]);
    // A file and a directory by themselves, both with another name, links, an
    // empty directory, and a name that begins at the root.
    transom.args([
        "--ro",
        "src/main.c",
        "--ro",
        "sdk",
        "--ro",
        "/opt/sdk=sdk/include/",
    ]);
    transom.args([
        "--ro",
        "/etc/x=y=src/main.c",
        "--symlink",
        "link=src/main.c",
    ]);
    transom.args(["--empty-directory", "cache", "--empty-directory", "/var"]);
    world.file("y=src/main.c", "equals\n");
    let script = "pwd; cat src/main.c sdk/include/sdk.h /opt/sdk/sdk.h /etc/x link; ls -d * /*";
    let output = transom.args(["--", "sh", "-c", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "/work\nmain\nsdk\nsdk\nequals\nmain\n/bin\n/dev\n/etc\n/lib\n/lib64\n/opt\n/proc\n/tmp\n\
         /usr\n/var\n/work\ncache\nlink\nsdk\nsrc\n"
    );
}

/// `transom run --ro /usr ... --ro src/main.c --out out -- make`.
fn the_command_of_the_readme(world: &World) {
    world.file(
        "src/main.c",
        "#include <sdk.h>\nint main(void) { return SDK; }\n",
    );
    let sdk = world.file("srv/sdk/include/sdk.h", "#define SDK 5\n");
    world.file(
        "Makefile",
        "out/main: src/main.c\n\tgcc -Iinclude -o $@ $<\n",
    );
    let include = format!("include={}", sdk.parent().unwrap().display());
    let mut transom = world.transom();
    transom.args(["run", "--engine", world.engine.name()]);
    transom.args([
        "--ro", "/usr", "--ro", "/bin", "--ro", "/lib", "--ro", "/lib64",
    ]);
    transom.args(["--ro", &include, "--ro", "src/main.c", "--ro", "Makefile"]);
    let output = transom
        .args(["--out", "out", "--", "make", "-s"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let made = world
        .command("sh")
        .args(["-c", "out/main"])
        .status()
        .unwrap();
    assert_eq!(made.code(), Some(5));
}

fn a_manifest_from_standard_input(world: &World) {
    let file = world.file("src/a", "a\n");
    let manifest = json!({
        "version": 1,
        "inputs": [
            { "name": "usr", "directory": "/usr" },
            { "name": "lib64", "symlink": "usr/lib64" },
            { "name": "lib", "symlink": "usr/lib" },
            // Relative to the current directory.
            { "name": "a", "file": "src/a" },
        ],
        "command": ["/usr/bin/cat", "a"],
    });
    let manifest = world.file("manifest", manifest.to_string());
    let mut transom = world.transom();
    transom.args(["run", "--engine", world.engine.name(), "--manifest", "-"]);
    let output = transom
        .stdin(fs::File::open(manifest).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.stdout, fs::read(file).unwrap());
}

fn attributes_of_the_host_file(world: &World) {
    let file = world.file("file", "twelve bytes");
    let set = ["-m", "-d", "2001-02-03 04:05:06.789 UTC"];
    assert!(
        world
            .command("touch")
            .args(set)
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
    let printed = world
        .action()
        .file("w/file", &file)
        .prints("stat -c '%s %a %Y %F %u' file");
    let owner = fs::metadata(&file).unwrap().uid();
    assert_eq!(printed, format!("12 604 981173106 regular file {owner}\n"));
}

fn one_host_file_under_several_names(world: &World) {
    let file = world.file("file", "content\n");
    let action = world
        .action()
        .file("w/one", &file)
        .file("w/two", &file)
        .input(json!({ "name": "w/three", "file": file, "executable": true }));
    assert_eq!(action.prints("cat one two three"), "content\n".repeat(3));
}

fn large_files(world: &World) {
    let content: Vec<u8> = (0..20_000_000u32)
        .map(|index| (index / 251) as u8)
        .collect();
    let file = world.file("large", &content);
    let run = world
        .action()
        .file("w/large", file)
        .sh("cat large")
        .run()
        .succeeded();
    assert!(run.stdout == content);
}

fn many_names_in_one_directory(world: &World) {
    let file = world.file("file", "");
    let mut action = world.action();
    for index in 0..3000 {
        action = action.file(
            &format!("w/many/{index:04}-with-a-name-that-fills-a-page"),
            &file,
        );
    }
    let printed =
        action.prints("ls many | wc -l; ls many | sort -u | tail -1; echo many/*9-* | wc -w");
    assert_eq!(printed, "3000\n2999-with-a-name-that-fills-a-page\n300\n");
}
