use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::NamedPath;
use super::error::{ManifestError, quoted};
use crate::ViewPath;

impl NamedPath {
    /// Reads the value of a flag such as `--ro` or `--out`:
    ///
    /// ```text
    /// value = NAME "=" HOST    split at the first `=`
    ///       | HOST             without `=`; the name is derived from it
    /// ```
    ///
    /// NAME is relative to `under`, or with a leading `/` to the root of the
    /// view. A relative HOST is resolved against `base`. A HOST alone is named
    /// after itself: an absolute one by its path below `/`, a relative one by
    /// its path below `under`. So a HOST with a `=` in it is written after its
    /// NAME, and a NAME with a `=` needs a manifest.
    ///
    /// Errors name `flag` and the value.
    pub fn parse(
        flag: &str,
        value: &OsStr,
        base: &Path,
        under: &ViewPath,
    ) -> Result<Self, ManifestError> {
        let value = value.as_bytes();
        match value.iter().position(|byte| *byte == b'=') {
            Some(equals) => Self::given(&value[..equals], &value[equals + 1..], base, under),
            None => Self::derive(value, base, under),
        }
        .map_err(|problem| {
            ManifestError::new(&Arc::from(flag), None, problem).about(|| quoted(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<(String, String, bool), String> {
        let under = ViewPath::parse(b"work").unwrap();
        NamedPath::parse("--ro", OsStr::new(value), Path::new("/base"), &under)
            .map(|path| {
                let host = path.host.display().to_string();
                (path.name.to_string(), host, path.is_directory)
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_may_be_given_or_derived() {
        let cases = [
            ("/usr", "usr", "/usr", false),
            ("src/main.c", "work/src/main.c", "/base/src/main.c", false),
            (
                "include=/srv/sdk/include",
                "work/include",
                "/srv/sdk/include",
                false,
            ),
            ("/usr=/opt/usr", "usr", "/opt/usr", false),
            ("out/=out/", "work/out", "/base/out/", true),
            ("a=b=c", "work/a", "/base/b=c", false),
            ("a=.", "work/a", "/base/.", false),
        ];
        for (value, name, host, is_directory) in cases {
            let expected = Ok((name.to_owned(), host.to_owned(), is_directory));
            assert_eq!(parse(value), expected, "{value}");
        }
    }

    #[test]
    fn complaints_name_the_flag_and_the_value() {
        let cases = [
            ("=/usr", "--ro: \"=/usr\": the name is empty"),
            ("a=", "--ro: \"a=\": the host path is empty"),
            ("", "--ro: \"\": the host path is empty"),
            ("//a=/b", "--ro: \"//a=/b\": names are relative"),
            ("a/../b=/b", "--ro: \"a/../b=/b\": `.` and `..`"),
            (
                "../../include",
                "--ro: \"../../include\": this path leads above",
            ),
        ];
        for (value, message) in cases {
            let error = parse(value).unwrap_err();
            assert!(error.starts_with(message), "{value}: {error}");
        }
    }
}
