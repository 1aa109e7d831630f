//! Mount options: `-o ro,noexec,cache=10s`.
//!
//! They come from users, from `/etc/fstab`, and from mount(8), which passes on
//! more than was typed. So each falls into one of five groups: it says
//! something of the mount, it is ours, mount(8) has dealt with it, it says
//! what is always so, or the module is asked; and what none of them knows is
//! an error that names it.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rustix::mount::MountAttrFlags;
use transom_module::AccessTimes;

/// Who moves the bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum PassthroughChoice {
    /// The kernel, if it lets this process say so.
    #[default]
    Auto,
    /// The kernel for files that are opened to be read, transom for others.
    Ro,
    /// The kernel.
    Rw,
    /// Transom.
    Off,
}

impl fmt::Display for PassthroughChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What options say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MountOptions {
    pub(crate) read_only: bool,
    /// All but read-only and access times.
    pub(crate) attributes: Attributes,
    /// When access times are updated, if that was said.
    pub(crate) access_times: Option<AccessTimes>,
    /// Change what is mounted already.
    pub(crate) remount: bool,
    /// A source that is not there is not mounted, and that is no error.
    pub(crate) nofail: bool,
    pub(crate) module: Option<String>,
    /// Which volume of what is loaded, by its name.
    pub(crate) volume: Option<String>,
    pub(crate) passthrough: PassthroughChoice,
    pub(crate) idmapped: bool,
    pub(crate) log: Option<PathBuf>,
    /// What the module is asked.
    pub(crate) named: Vec<(String, Option<String>)>,
}

/// Which of the attributes that can be set or not are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) nosuid: bool,
    pub(crate) nodev: bool,
    pub(crate) noexec: bool,
    pub(crate) nosymfollow: bool,
    pub(crate) nodiratime: bool,
}

/// What mount(8) and its kin deal with themselves, or what is always so.
const WITHOUT_EFFECT: &[&str] = &[
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "_netdev",
    "async",
    "nolazytime",
    "nomand",
    "noiversion",
    "silent",
    "loud",
    "allow_other",
    "default_permissions",
];

/// The same, for options with a value.
const KEYS_WITHOUT_EFFECT: &[&str] = &["user", "comment", "uhelper", "helper"];

/// What the kernel shows of every mount of FUSE, and mount(8) therefore repeats
/// in a remount.
const SHOWN_BY_THE_KERNEL: &[&str] = &["user_id", "group_id", "max_read"];

impl MountOptions {
    /// Reads comma-separated options; of contradicting ones, the last holds.
    pub(crate) fn parse<T: AsRef<str>>(texts: &[T]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        for option in texts.iter().flat_map(|text| split(text.as_ref())) {
            if option.matches('"').count() % 2 == 1 {
                bail!("mount option `{option}`: a quote is not closed");
            }
            match option.split_once('=') {
                None => options.flag(option)?,
                Some((key, value)) => options.value(key, unquoted(value))?,
            }
        }
        if options.remount {
            let shown = |name: &String| SHOWN_BY_THE_KERNEL.contains(&name.as_str());
            options.named.retain(|(name, _)| !shown(name));
        }
        Ok(options)
    }

    /// The names of options that neither we know nor a module that knows these.
    pub(crate) fn unknown_to(&self, module: &[(&str, &str)]) -> Vec<&str> {
        let is_known = |name: &str| module.iter().any(|(known, _)| *known == name);
        let names = self.named.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !is_known(name)).collect()
    }

    /// Refuses options that neither we know nor a module that knows these.
    pub(crate) fn refuse_unknown_to(&self, module: &[(&str, &str)]) -> anyhow::Result<()> {
        if let [unknown, ..] = self.unknown_to(module)[..] {
            bail!("unknown mount option `{unknown}`; docs/modules.md lists them all");
        }
        Ok(())
    }

    /// For a new mount.
    pub(crate) fn mount_attributes(&self) -> MountAttrFlags {
        let set = [
            (self.attributes.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (self.attributes.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
            (self.attributes.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (
                self.attributes.nosymfollow,
                MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            ),
            (
                self.attributes.nodiratime,
                MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            ),
            (
                self.access_times == Some(AccessTimes::Never),
                MountAttrFlags::MOUNT_ATTR_NOATIME,
            ),
            (
                self.access_times == Some(AccessTimes::Always),
                MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            ),
        ];
        set.into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
            .collect()
    }

    fn flag(&mut self, option: &str) -> anyhow::Result<()> {
        let attributes = &mut self.attributes;
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nosuid" => attributes.nosuid = true,
            "suid" => attributes.nosuid = false,
            "nodev" => attributes.nodev = true,
            "dev" => attributes.nodev = false,
            "noexec" => attributes.noexec = true,
            "exec" => attributes.noexec = false,
            "nosymfollow" => attributes.nosymfollow = true,
            "symfollow" => attributes.nosymfollow = false,
            "nodiratime" => attributes.nodiratime = true,
            "diratime" => attributes.nodiratime = false,
            "noatime" => self.access_times = Some(AccessTimes::Never),
            "strictatime" => self.access_times = Some(AccessTimes::Always),
            "relatime" | "atime" | "norelatime" | "nostrictatime" => {
                self.access_times = Some(AccessTimes::Relative);
            }
            "remount" => self.remount = true,
            "nofail" => self.nofail = true,
            "idmapped" => self.idmapped = true,
            "" => {}
            "module" | "volume" | "passthrough" | "log" => {
                bail!("mount option `{option}` needs a value")
            }
            _ if WITHOUT_EFFECT.contains(&option) || is_for_others(option) => {}
            _ => self.named.push((option.into(), None)),
        }
        Ok(())
    }

    fn value(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        match key {
            "module" => self.module = Some(value.into()),
            "volume" => self.volume = Some(value.into()),
            "log" => self.log = Some(value.into()),
            "passthrough" => {
                self.passthrough = PassthroughChoice::from_str(value, false)
                    .ok()
                    .with_context(|| {
                        format!("mount option `{key}={value}`: give `auto`, `ro`, `rw` or `off`")
                    })?;
            }
            _ if KEYS_WITHOUT_EFFECT.contains(&key) || is_for_others(key) => {}
            _ => self.named.push((key.into(), Some(value.into()))),
        }
        Ok(())
    }
}

/// The same options, without those of these names.
pub(crate) fn without(texts: &[String], names: &[String]) -> Vec<String> {
    let name_of = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let options = texts.iter().flat_map(|text| split(text));
    let kept = options.filter(|option| !names.contains(&name_of(option)));
    kept.map(str::to_owned).collect()
}

/// For programs that read `/etc/fstab`, by their documentation.
fn is_for_others(name: &str) -> bool {
    name.starts_with("x-") || name.starts_with("X-")
}

/// At commas that are not between quotes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

fn unquoted(value: &str) -> &str {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> MountOptions {
        MountOptions::parse(&[text]).unwrap()
    }

    #[test]
    fn what_is_said_of_the_mount() {
        use MountAttrFlags as Flags;
        let none = Flags::empty();
        for (text, read_only, attributes) in [
            ("", false, none),
            ("defaults", false, none),
            ("rw", false, none),
            ("ro", true, none),
            ("ro,rw", false, none),
            ("rw,ro", true, none),
            ("nosuid", false, Flags::MOUNT_ATTR_NOSUID),
            ("nosuid,suid", false, none),
            ("nodev", false, Flags::MOUNT_ATTR_NODEV),
            ("nodev,dev", false, none),
            ("noexec", false, Flags::MOUNT_ATTR_NOEXEC),
            ("noexec,exec", false, none),
            ("nosymfollow", false, Flags::MOUNT_ATTR_NOSYMFOLLOW),
            ("nosymfollow,symfollow", false, none),
            ("nodiratime", false, Flags::MOUNT_ATTR_NODIRATIME),
            ("nodiratime,diratime", false, none),
            ("noatime", false, Flags::MOUNT_ATTR_NOATIME),
            ("noatime,relatime", false, none),
            ("noatime,atime", false, none),
            ("strictatime", false, Flags::MOUNT_ATTR_STRICTATIME),
            ("noatime,strictatime", false, Flags::MOUNT_ATTR_STRICTATIME),
            ("strictatime,nostrictatime", false, none),
            (
                "ro,nosuid,nodev,noexec",
                true,
                Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV | Flags::MOUNT_ATTR_NOEXEC,
            ),
        ] {
            let options = parsed(text);
            assert_eq!(options.read_only, read_only, "{text}");
            assert_eq!(options.mount_attributes(), attributes, "{text}");
            assert_eq!(options.named, [], "{text}");
        }
    }

    #[test]
    fn what_others_deal_with_or_is_always_so() {
        for text in WITHOUT_EFFECT {
            assert_eq!(parsed(text), MountOptions::default(), "{text}");
        }
        let text = "x-systemd.automount,X-mount.mkdir=0755,x-gvfs-name=a b,user=me,comment=a,,\
                    uhelper=udisks2";
        assert_eq!(parsed(text), MountOptions::default());
    }

    #[test]
    fn what_is_ours() {
        let options = parsed("module=passthrough,passthrough=ro,idmapped,nofail,log=\"/a,b\"");
        assert!(options.nofail);
        assert_eq!(options.module.as_deref(), Some("passthrough"));
        assert_eq!(options.passthrough, PassthroughChoice::Ro);
        assert!(options.idmapped);
        assert_eq!(options.log, Some("/a,b".into()));
        for text in [
            "passthrough=yes",
            "passthrough",
            "module",
            "log",
            "log=\"/a,ro",
            "log=/a\"",
        ] {
            let error = MountOptions::parse(&[text]).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn what_the_module_is_asked() {
        let options = parsed("cache=10s,rw,sync,silent,user_id=0");
        let module = [("cache", "")];
        assert_eq!(options.unknown_to(&module), ["sync", "user_id"]);
        let texts = ["cache=10s,rw".into(), "sync,user_id=0".into()];
        let kept = without(&texts, &["sync".into(), "user_id".into()]);
        assert_eq!(kept, ["cache=10s", "rw"]);
        assert_eq!(options.named[0], ("cache".into(), Some("10s".into())));
        let options = parsed("remount,ro,user_id=0,group_id=0,max_read=4096,sync");
        assert_eq!(options.unknown_to(&module), ["sync"]);
    }
}
