use std::fmt;

/// Whether this process may do what only root may: mount, trace, drop caches.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Prints the line by which `cargo xtask test` knows that a test did not run.
/// Tests use [`skip!`](crate::skip) or [`privileged!`](crate::privileged).
#[expect(clippy::print_stdout, reason = "the line is for whoever runs the test")]
pub fn announce_skip(reason: fmt::Arguments<'_>) {
    println!("skipped: {reason}");
}

/// Ends the test here and says why; takes what `format!` takes.
///
/// For what a machine may lack, such as a feature of its kernel. A program
/// that a Debian package provides is not a reason to skip: list the package
/// in `xtask/src/prerequisites.rs` instead.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::announce_skip(format_args!($($reason)+));
        return;
    }};
}

/// Ends the test, aloud, unless it runs as root.
///
/// It is the first line of every test named `privileged_*`, and of no other;
/// its argument ends the sentence "needs root to ...".
#[macro_export]
macro_rules! privileged {
    ($need:literal) => {
        if !$crate::is_root() {
            $crate::skip!("needs root to {}", $need);
        }
    };
}
