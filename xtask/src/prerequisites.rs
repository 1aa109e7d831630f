//! What the tests need beyond Rust, installed if it is missing.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::privilege::Privilege;
use crate::step::Step;

/// A Debian package that tests need because they run `program`.
struct Package {
    name: &'static str,
    program: &'static str,
    /// The first step that needs it.
    step: Step,
}

const PACKAGES: &[Package] = &[
    // Real compiles inside views.
    package("gcc", "gcc", Step::Unit),
    package("make", "make", Step::Unit),
    // Module resolution that walks up the parent directories.
    package("nodejs", "node", Step::Unit),
    // A JavaScript project; npx runs the pnpm that installs it.
    package("npm", "npx", Step::Unit),
    // Clients of NBD servers: nbdinfo and nbdcopy; qemu-img and qemu-io.
    package("libnbd-bin", "nbdinfo", Step::Unit),
    package("qemu-utils", "qemu-io", Step::Unit),
    // A client of the control plane, from PyPI.
    package("python3-pip", "pip3", Step::Unit),
    // Host files on the file systems that users have.
    package("e2fsprogs", "mkfs.ext4", Step::Privileged),
    package("xfsprogs", "mkfs.xfs", Step::Privileged),
    package("btrfs-progs", "mkfs.btrfs", Step::Privileged),
    package("mount", "mount", Step::Privileged),
    // Clients of volumes: access control lists, and calls that Rust has no safe
    // functions for.
    package("acl", "setfacl", Step::Privileged),
    package("python3", "python3", Step::Privileged),
    // Mounting for users who may not mount.
    package("fuse3", "fusermount3", Step::Privileged),
    // Privileged tests that run something without privilege.
    package("util-linux", "setpriv", Step::Privileged),
];

/// A program from crates.io. Any installed version will do; `version` is the one
/// that is installed, known to build with the workspace's Rust.
struct CargoTool {
    name: &'static str,
    version: &'static str,
    steps: &'static [Step],
}

const CARGO_TOOLS: &[CargoTool] = &[
    CargoTool {
        name: "cargo-nextest",
        version: "0.9.143",
        steps: &[Step::Tidy, Step::Unit, Step::Privileged],
    },
    CargoTool {
        name: "cargo-deny",
        version: "0.20.2",
        steps: &[Step::Deny],
    },
    // Suites that file systems are tested with.
    CargoTool {
        name: "pjdfstest",
        version: "0.2.2",
        steps: &[Step::Privileged],
    },
    CargoTool {
        name: "fsx",
        version: "0.3.2",
        steps: &[Step::Privileged],
    },
];

/// Parts of the Rust distribution that a minimal installation lacks, with the
/// cargo subcommand each brings.
const COMPONENTS: &[(&str, &str, Step)] = &[
    ("rustfmt", "fmt", Step::Fmt),
    ("clippy", "clippy", Step::Clippy),
];

/// Makes sure that everything `steps` need is there, and in the `PATH` of what
/// `shell` runs.
pub(crate) fn install(shell: &Shell, steps: &[Step], privilege: Privilege) -> Result<()> {
    // The makers of file systems are where only an administrator's `PATH` leads.
    let path = shell.var("PATH").unwrap_or_default();
    shell.set_var("PATH", format!("{path}:/usr/sbin:/sbin"));
    install_components(shell, steps)?;
    install_packages(shell, steps, privilege)?;
    install_cargo_tools(shell, steps)
}

const fn package(name: &'static str, program: &'static str, step: Step) -> Package {
    Package {
        name,
        program,
        step,
    }
}

fn install_components(shell: &Shell, steps: &[Step]) -> Result<()> {
    for (component, subcommand, step) in COMPONENTS {
        // To be run, not found: rustup puts proxies where the programs would be.
        let version = cmd!(shell, "cargo {subcommand} --version").quiet();
        if !steps.contains(step) || version.ignore_stdout().ignore_stderr().run().is_ok() {
            continue;
        }
        if cmd!(shell, "rustup component add {component}")
            .run()
            .is_err()
        {
            bail!("{component} is missing: install it where your Rust comes from");
        }
    }
    Ok(())
}

fn install_packages(shell: &Shell, steps: &[Step], privilege: Privilege) -> Result<()> {
    let will_run = |step| match step {
        // Without root these tests are skipped, and need nothing.
        Step::Privileged => steps.contains(&step) && privilege.prefix().is_some(),
        _ => steps.contains(&step),
    };
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|package| will_run(package.step) && !is_installed(shell, package.program))
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_installed(shell, "apt-get") {
        bail!("this is no Debian system; install what it calls: {names}");
    }
    let Some(as_root) = privilege.prefix() else {
        bail!("the tests need more packages; as root: apt-get install {names}");
    };
    // Through env(1), because sudo need not hand on the variables it is given.
    let apt = [
        as_root,
        &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
    ]
    .concat();
    let (program, apt) = (apt[0], &apt[1..]);
    cmd!(shell, "{program} {apt...} update").run()?;
    cmd!(
        shell,
        "{program} {apt...} install --yes --no-install-recommends {missing...}"
    )
    .run()?;
    Ok(())
}

fn install_cargo_tools(shell: &Shell, steps: &[Step]) -> Result<()> {
    for CargoTool {
        name,
        version,
        steps: needed_by,
    } in CARGO_TOOLS
    {
        if needed_by.iter().any(|step| steps.contains(step)) && !is_installed(shell, name) {
            cmd!(shell, "cargo install --locked {name} --version {version}").run()?;
        }
    }
    Ok(())
}

/// Whether `program` is in `PATH`, or where cargo installs and finds programs.
fn is_installed(shell: &Shell, program: &str) -> bool {
    let path = shell.var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .any(|directory| directory.join(program).is_file())
}
