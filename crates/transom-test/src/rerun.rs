use std::env;
use std::io;
use std::process::Output;

use crate::Unprivileged;

/// Has the test run as `nobody`, if it was started by root.
///
/// It is the first line of a test of what must not be possible without
/// privilege: such a test means nothing when root runs it, and yet must not be
/// skipped then.
#[macro_export]
macro_rules! unprivileged {
    () => {
        if $crate::is_root() {
            fn here() {}
            $crate::rerun_unprivileged(::std::any::type_name_of_val(&here));
            return;
        }
    };
}

/// The work of [`unprivileged!`](crate::unprivileged). `here` is the path of a
/// function inside the test, which begins with the name of the test program.
#[doc(hidden)]
#[track_caller]
#[expect(clippy::print_stdout, reason = "it is what the test prints")]
pub fn rerun_unprivileged(here: &str) {
    let path = here
        .split_once("::")
        .and_then(|(_, path)| path.rsplit_once("::"));
    let (test, _) = path.expect("a function inside a test of a program");
    match run_test(test) {
        Ok(output) => {
            let stdout = String::from_utf8_lossy(&output.stdout);
            print!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
            let passed = output.status.success() && stdout.contains("1 passed");
            assert!(passed, "{test} fails without privilege");
        }
        Err(error) => panic!("{test} cannot be run without privilege: {error}"),
    }
}

fn run_test(name: &str) -> io::Result<Output> {
    Unprivileged::new()?
        .command(env::current_exe()?)?
        .args(["--exact", name, "--nocapture"])
        .output()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::panic;

    #[test]
    fn a_rerun_test_is_not_root() {
        crate::unprivileged!();
        assert!(!crate::is_root());
        assert!(fs::read("/etc/shadow").is_err());
    }

    #[test]
    fn privileged_a_rerun_that_fails_or_runs_nothing_fails_the_test() {
        let home = env::var("HOME").unwrap_or_default();
        assert!(!home.contains("transom-test-"), "fails when run again");
        crate::privileged!("become somebody else");
        for test in [
            "privileged_a_rerun_that_fails_or_runs_nothing_fails_the_test",
            "no_such_test",
        ] {
            let here = format!("transom_test::rerun::tests::{test}::here");
            let result = panic::catch_unwind(|| super::rerun_unprivileged(&here));
            assert!(result.is_err(), "{test}");
        }
    }
}
