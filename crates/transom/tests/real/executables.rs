//! A program that many actions execute is in memory once: its pages are those
//! of the host file, whoever runs it and by whatever name.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use transom_projection::ViewOptions;
use transom_test::{privileged, temp_dir};

use crate::c_project::succeeded;
use crate::host::{Host, Live, file, usual_inputs};
use crate::world::Engine;

const VIEWS: usize = 20;

/// What the program has in its read-only data, and touches.
const DATA_KIB: u64 = 16 << 10;

#[test]
fn privileged_fuse_an_executed_file_is_in_memory_once() {
    privileged!("mount views");
    an_executed_file_is_in_memory_once(Engine::Fuse);
}

#[test]
fn privileged_mounts_an_executed_file_is_in_memory_once() {
    privileged!("mount views");
    an_executed_file_is_in_memory_once(Engine::Mounts);
}

fn an_executed_file_is_in_memory_once(engine: Engine) {
    let directory = temp_dir().unwrap();
    // The kernel keeps 15 characters of a process's name.
    let name = format!("pages-{}", std::process::id());
    let program = directory.path().join(&name);
    let source = directory.path().join("program.c");
    fs::write(&source, source_code()).unwrap();
    succeeded(Command::new("gcc").arg("-o").args([&program, &source]));

    let host = Host::new(engine);
    let actions: Vec<Live> = (0..VIEWS)
        .map(|number| {
            // Traced views do not even share the inode that they show.
            let options = ViewOptions {
                trace: number % 2 == 0,
                ..ViewOptions::default()
            };
            let place = format!("in{number}/{name}");
            let mut inputs = usual_inputs();
            inputs.push(file(&place, &program));
            let view = host.view_with(inputs, options);
            let mut action = Live::start(host.tree(&view), &[&format!("/{place}")]);
            action.says("ready");
            action
        })
        .collect();
    let outside = Outside::start(&program);

    let memory = memory_of(&name);
    let users = VIEWS as u64 + 1;
    assert_eq!(memory.len() as u64, users);
    for Memory { all, share } in memory {
        assert!(all >= DATA_KIB, "it has touched {all} KiB");
        // What all share is divided by all; half as much again is plenty for
        // the few pages of its own.
        assert!(share <= DATA_KIB * 3 / (2 * users), "{share} KiB of {all}");
    }
    drop(outside);
    for action in actions {
        action.finish();
    }
}

fn source_code() -> String {
    format!(
        r#"
        #include <stdio.h>
        static const volatile char data[{DATA_KIB} << 10] = {{ 1 }};
        int main(void) {{
            int sum = 0;
            for (size_t at = 0; at < sizeof data; at += 4096) sum += data[at];
            puts(sum == 1 ? "ready" : "wrong");
            fflush(stdout);
            return getchar() != EOF;
        }}
        "#
    )
}

/// The program, executed without a view.
struct Outside(Child);

impl Outside {
    fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output: &mut ChildStdout = child.stdout.as_mut().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Memory that a process has mapped from the program, in KiB: all of it, and
/// its share when each page is divided by its users.
struct Memory {
    all: u64,
    share: u64,
}

/// Of every process of that name.
fn memory_of(name: &str) -> Vec<Memory> {
    let processes = fs::read_dir("/proc").unwrap();
    let processes = processes.map(|entry| entry.unwrap().path());
    processes
        .filter(|process| {
            let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
            comm.trim_end() == name
        })
        .map(|process| {
            let maps = fs::read_to_string(process.join("smaps")).unwrap();
            let mut memory = Memory { all: 0, share: 0 };
            let mut is_program = false;
            for line in maps.lines() {
                let mut words = line.split_whitespace();
                let amount = match (words.next().unwrap_or_default(), words.next()) {
                    ("Rss:", Some(kib)) if is_program => (&mut memory.all, kib),
                    ("Pss:", Some(kib)) if is_program => (&mut memory.share, kib),
                    (first, _) => {
                        // The first line of a mapping ends with its file.
                        if !first.ends_with(':') {
                            is_program = line.ends_with(&format!("/{name}"));
                        }
                        continue;
                    }
                };
                *amount.0 += amount.1.parse::<u64>().unwrap();
            }
            memory
        })
        .collect()
}
