//! The table of what is built in.

use transom_concat::ConcatModule;
use transom_host::{Enablement, Host, HostOptions, Modules};
use transom_passthrough::PassthroughModule;

/// Names another file than [`ENABLEMENT_FILE`].
pub(crate) const ENABLEMENT_VARIABLE: &str = "TRANSOM_MODULES";

/// Says which modules are disabled.
const ENABLEMENT_FILE: &str = "/etc/transom/modules.json";

/// Every module of this program.
pub(crate) fn built_in() -> Modules {
    Modules::new().with(PassthroughModule).with(ConcatModule)
}

/// Which modules may be loaded on this machine.
pub(crate) fn enablement() -> Enablement {
    let named = std::env::var_os(ENABLEMENT_VARIABLE).filter(|file| !file.is_empty());
    named.map_or_else(
        || Enablement::in_own_directory(ENABLEMENT_FILE),
        Enablement::at,
    )
}

/// Loads with these modules.
pub(crate) fn host() -> transom_module::Result<Host> {
    Host::new(built_in(), enablement(), HostOptions::default())
}
