//! What a client names, opened with the client's rights.

use std::path::{Path, PathBuf};

use transom_control::Exchange;
use transom_control::host::{Place, Result};
use transom_host::{Host, Target};
use transom_module::Resource;

use super::errors::{failed, invalid, refused};
use crate::caller::Caller;

/// Most places in one call.
const PLACES_MAX: usize = 1024;

/// Opens resources for a module, or to be shown to any.
pub(super) fn resources(
    host: &Host,
    caller: &Caller<'_>,
    exchange: &mut Exchange,
    module: Option<&str>,
    places: &[Place],
    read_only: bool,
) -> Result<Vec<Resource>> {
    if places.len() > PLACES_MAX {
        return Err(invalid(format!("more than {PLACES_MAX} resources")));
    }
    places
        .iter()
        .map(|place| match named(caller, exchange, place)? {
            (Some(descriptor), path) => {
                let adopted = caller.act(|| host.adopt(module, &descriptor, &path, read_only))?;
                adopted.map_err(|error| refused(&error))
            }
            (None, path) => caller
                .act(|| host.open(module, &path, read_only))?
                .map_err(|error| refused(&error)),
        })
        .collect()
}

/// Opens the directory to mount on. Whoever is not root mounts on a directory of
/// its own.
pub(super) fn target(
    caller: &Caller<'_>,
    exchange: &mut Exchange,
    place: &Place,
) -> Result<Target> {
    let (descriptor, path) = named(caller, exchange, place)?;
    let target = match descriptor {
        Some(descriptor) => Target::given(descriptor),
        None => caller.act(|| Target::open(&path))?,
    }
    .map_err(|error| failed(&format!("cannot mount on `{}`", shown(&path)), error))?;
    caller.check_may_mount_on(&target)?;
    Ok(target)
}

/// The descriptor, if one was sent, and what to call it.
fn named(
    caller: &Caller<'_>,
    exchange: &mut Exchange,
    place: &Place,
) -> Result<(Option<std::os::fd::OwnedFd>, PathBuf)> {
    let path = place.path.as_ref().map(|path| path.as_path().to_owned());
    match (place.descriptor, path) {
        (Some(descriptor), path) => {
            let descriptor = exchange.take(descriptor)?;
            let path = path.unwrap_or_else(|| "(descriptor)".into());
            Ok((Some(descriptor), path))
        }
        (None, Some(path)) if path.is_absolute() => {
            caller.check_sees_our_paths()?;
            Ok((None, path))
        }
        (None, Some(path)) => Err(invalid(format!(
            "`{}` is not an absolute path",
            shown(&path)
        ))),
        (None, None) => Err(invalid("a place has a path, or a descriptor")),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
