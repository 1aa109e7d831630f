//! The table of what is built in.

use std::path::PathBuf;

use transom_host::{Enablement, Host, Modules};
use transom_passthrough::PassthroughModule;

/// Names another file than [`ENABLEMENT_FILE`].
pub(crate) const ENABLEMENT_VARIABLE: &str = "TRANSOM_MODULES";

/// Says which modules are disabled.
const ENABLEMENT_FILE: &str = "/etc/transom/modules.json";

/// Every module of this program.
pub(crate) fn built_in() -> Modules {
    Modules::new().with(PassthroughModule)
}

/// Which modules may be loaded on this machine.
pub(crate) fn enablement() -> Enablement {
    let file =
        std::env::var_os(ENABLEMENT_VARIABLE).map_or_else(|| ENABLEMENT_FILE.into(), PathBuf::from);
    Enablement::at(file)
}

/// Loads with these modules.
pub(crate) fn host() -> Host {
    Host::new(built_in(), enablement())
}
