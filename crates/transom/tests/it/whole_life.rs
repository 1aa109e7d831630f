//! The life of a container and of a view, from outside: by a varlink client that
//! others have written, which knows nothing but what the daemon tells of itself.

use std::path::Path;

use transom_test::{privileged, python_with_varlink};

use crate::daemon;

#[test]
fn privileged_a_client_of_others_has_the_daemon_do_everything() {
    privileged!("mount");
    let client = python_with_varlink(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let variables = client
        .get_envs()
        .map(|(name, value)| (name, value.unwrap()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/whole_life.py");
    let life = format!(
        r#"
        mkdir at
        serve
        python3 "{script}" "$TRANSOM_SOCKET" "$here" || {{ cat log; exit 1; }}
        [ "$(stop)" = "" ]
        ls state/ledger/leftovers
        "#
    );
    assert_eq!(daemon::run_with(variables, &life), "");
}
