//! A skipped test says so in the form that is counted.

use std::env;

use transom_test::{Unprivileged, privileged};

/// Runs itself again as somebody else.
#[test]
fn privileged_a_test_without_root_says_why_it_is_skipped() {
    privileged!("become somebody else");
    let user = Unprivileged::new().unwrap();
    let output = user
        .command(env::current_exe().unwrap())
        .unwrap()
        .args(["privileged_a_test_without_root", "--nocapture"])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(
        printed.contains("skipped: needs root to become somebody else\n"),
        "{printed}"
    );
}
