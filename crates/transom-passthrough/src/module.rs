use std::time::Duration;

use transom_module::{
    Errno, Error, Lifetime, LoadOptions, Module, ModuleManifest, ResourceKind, Resources, Result,
};

use crate::Source;
use crate::host::make_room_for_descriptors;

/// How long names and attributes are cached that nobody said more about: what
/// other programs change below is seen after a second.
const CACHE_DEFAULT: Duration = Duration::from_secs(1);

/// Loads directories of the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassthroughModule;

impl Module for PassthroughModule {
    type Container = Source;

    fn manifest(&self) -> ModuleManifest {
        ModuleManifest {
            name: "passthrough",
            version: env!("CARGO_PKG_VERSION"),
            summary: "a directory of the host as it is",
            resources: &[ResourceKind::Directory],
            options: &[(
                "cache",
                "for how long names and attributes are cached: `none`, `forever`, or a time \
                 such as `500ms`, `10s`, `5m` or `1h`; 1s if not given",
            )],
            capabilities: &[
                "Changes",
                "Controls",
                "ExtendedAttributes",
                "Naming",
                "OpenDirectories",
                "PersistentItems",
                "Synchronization",
            ],
        }
    }

    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Source> {
        let resource = resources.only()?;
        let mut lifetime = Lifetime::for_duration(CACHE_DEFAULT);
        for (name, value) in &options.named {
            match (name.as_str(), value) {
                ("cache", Some(value)) => lifetime = parse_lifetime(value)?,
                ("cache", None) => return Err(invalid("option `cache` needs a value".into())),
                _ => return Err(invalid(format!("unknown option `{name}`; known: `cache`"))),
            }
        }
        if resource.kind() != ResourceKind::Directory {
            let path = resource.path().display();
            let kind = resource.kind();
            return Err(invalid(format!("`{path}` is a {kind}, not a directory")));
        }
        make_room_for_descriptors(&resource);
        Source::clone_of(&resource, options, lifetime)
    }
}

fn parse_lifetime(text: &str) -> Result<Lifetime> {
    match text {
        "none" => return Ok(Lifetime::NONE),
        "forever" => return Ok(Lifetime::FOREVER),
        _ => {}
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let milliseconds_each = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let count = text[..digits].parse::<u64>().unwrap_or(0);
    match count.checked_mul(milliseconds_each) {
        Some(1..) => {
            let duration = Duration::from_millis(count * milliseconds_each);
            Ok(Lifetime::for_duration(duration))
        }
        _ => Err(invalid(format!(
            "option `cache={text}`: give `none`, `forever`, or a time such as `500ms` or `10s`"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(Errno::EINVAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_cache() {
        let cases = [
            ("none", Some(Duration::ZERO)),
            ("forever", Some(Duration::MAX)),
            ("500ms", Some(Duration::from_millis(500))),
            ("10s", Some(Duration::from_secs(10))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h", Some(Duration::from_secs(3600))),
            ("", None),
            ("1", None),
            ("0s", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in cases {
            let parsed = parse_lifetime(text).ok().map(Lifetime::duration);
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
