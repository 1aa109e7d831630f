//! What Bazel runs as `sandboxfs`; all of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    transom::main_of_sandboxfs()
}
