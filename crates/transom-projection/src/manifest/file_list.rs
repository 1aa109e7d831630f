use std::path::Path;
use std::sync::Arc;

use super::error::{ManifestError, Problem, quoted};
use super::{Document, NamedPath};
use crate::{Declaration, Mapping, Origin, ViewPath};

/// What stands between the paths of a file list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Separator {
    /// A newline: one path per line.
    #[default]
    Newline,
    /// A NUL byte, as `find -print0` writes, for paths with newlines in them.
    Nul,
}

/// Reads a file list: host paths, each an input named after its path (see
/// [`NamedPath`]); one that ends in `/` is a directory as a whole.
///
/// Every byte but the separator belongs to a path; there are no comments and no
/// escapes. Empty paths are skipped. A line that ends as on Windows is an error.
/// The line in an origin is the number of the path when the separator is NUL.
///
/// The number of declarations is not limited here; the iterator is lazy.
pub fn parse_file_list<'a>(
    list: &Document<'a>,
    separator: Separator,
    under: &'a ViewPath,
) -> impl Iterator<Item = Result<Declaration, ManifestError>> + use<'a> {
    let label = Arc::clone(&list.label);
    let base = list.base;
    let is_of_lines = separator == Separator::Newline;
    let separator = match separator {
        Separator::Newline => b'\n',
        Separator::Nul => b'\0',
    };
    list.bytes
        .split(move |byte| *byte == separator)
        .zip(1..)
        .filter(|(written, _)| !written.is_empty())
        .map(move |(written, line)| {
            if is_of_lines && written.ends_with(b"\r") {
                let problem = Problem::CarriageReturn;
                return Err(
                    ManifestError::new(&label, Some(line), problem).about(|| quoted(written))
                );
            }
            declare(written, &label, line, base, under)
        })
}

/// The declaration of a host path that was found on a line of a list.
pub(super) fn declare(
    written: &[u8],
    label: &Arc<str>,
    line: u32,
    base: &Path,
    under: &ViewPath,
) -> Result<Declaration, ManifestError> {
    let path = NamedPath::derive(written, base, under).map_err(|problem| {
        ManifestError::new(label, Some(line), problem).about(|| quoted(written))
    })?;
    let source = path.host;
    Ok(Declaration {
        name: path.name,
        mapping: if path.is_directory {
            Mapping::Directory { source }
        } else {
            Mapping::File {
                source,
                executable: None,
            }
        },
        origin: Origin {
            source: Arc::clone(label),
            line: Some(line),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8], separator: Separator) -> Vec<String> {
        let under = ViewPath::parse(b"work").unwrap();
        let list = Document {
            label: Arc::from("list"),
            bytes,
            base: Path::new("/base"),
        };
        parse_file_list(&list, separator, &under)
            .map(|declaration| match declaration {
                Ok(Declaration {
                    name,
                    mapping,
                    origin,
                }) => match mapping {
                    Mapping::File { source, .. } => {
                        format!("{origin} {name:?} file {}", source.display())
                    }
                    Mapping::Directory { source } => {
                        format!("{origin} {name:?} directory {}", source.display())
                    }
                    other => panic!("{other:?}"),
                },
                Err(error) => error.to_string(),
            })
            .collect()
    }

    #[test]
    fn one_path_per_line() {
        assert_eq!(
            parse(b"a.c\n\n# b \n/usr/include/\n./c\xff", Separator::Newline),
            [
                "list:1 \"work/a.c\" file /base/a.c",
                "list:3 \"work/# b \" file /base/# b ",
                "list:4 \"usr/include\" directory /usr/include/",
                "list:5 \"work/c\\xFF\" file /base/./c\u{fffd}",
            ]
        );
        assert!(parse(b"", Separator::Newline).is_empty());
        assert!(parse(b"\n", Separator::Newline).is_empty());
    }

    #[test]
    fn lines_do_not_end_as_on_windows() {
        let complaints = parse(b"a.c\r\nb.c\r\n", Separator::Newline);
        let expected = "list:1: \"a.c\\r\": this line ends with a carriage return";
        assert!(complaints[0].starts_with(expected), "{complaints:?}");
        assert_eq!(
            parse(b"a\r\0", Separator::Nul),
            ["list:1 \"work/a\\r\" file /base/a\r"]
        );
    }

    #[test]
    fn paths_with_newlines_between_nul_bytes() {
        assert_eq!(
            parse(b"a\nb\0c\0", Separator::Nul),
            [
                "list:1 \"work/a\\nb\" file /base/a\nb",
                "list:2 \"work/c\" file /base/c",
            ]
        );
    }

    #[test]
    fn complaints_name_the_line_and_the_path() {
        let complaints = parse(b"a\n../../b\nc\0d\n", Separator::Newline);
        assert!(
            complaints[1].starts_with("list:2: \"../../b\": this path leads above the root"),
            "{complaints:?}"
        );
        assert!(
            complaints[2].starts_with("list:3: \"c\\0d\": the host path contains a NUL byte"),
            "{complaints:?}"
        );
    }
}
