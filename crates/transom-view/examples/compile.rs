//! Compiles a program of which the compiler sees one source file and the host's
//! `/usr`, as root or as anybody else.
//!
//! ```text
//! cargo run -p transom-view --example compile -- SOURCE PROGRAM
//! ```

#![expect(clippy::print_stderr, reason = "a program may")]

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};

use transom_view::View;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    transom_view::obtain_privilege()?;
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [source, program] = &arguments[..] else {
        return Err("usage: compile SOURCE PROGRAM".into());
    };
    let view = View::builder()
        .directory("usr", "/usr")
        .symlink("bin", "usr/bin")
        .symlink("lib", "usr/lib")
        .symlink("lib64", "usr/lib64")
        .file("work/main.c", source)
        .output("work/out/main", program)
        .build()?;
    let mut compiler = Command::new("gcc");
    compiler
        .args(["-o", "out/main", "main.c"])
        .env("PATH", "/bin")
        .current_dir("/work");
    let finished = view.spawn(&compiler)?.wait()?;
    for input in &finished.changed {
        eprintln!("{input}");
    }
    Ok(if finished.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
