//! The daemon, driven by a client of the control plane that is not ours.

use std::path::Path;

use transom_test::{privileged, python_with_varlink};

use crate::daemon::run;

#[test]
fn privileged_the_reference_client_drives_a_whole_life() {
    privileged!("mount");
    let python = python_with_varlink(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let packages = python.get_envs().next().unwrap().1.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/other_client.py");
    run(&format!(
        r#"
        serve
        PYTHONPATH='{}' python3 '{}' run/control "$here/a" "$here/b" "$here/c" "$here/one"
        umount one
        [ "$(stop)" = "" ]
        "#,
        Path::new(packages).display(),
        script.display()
    ));
}
