use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use transom_module::{Errno, Error, Result};

/// Which modules may be loaded: all that a file does not say are disabled. The
/// file is read each time, so that what one program says holds for all.
#[derive(Debug, Clone)]
pub struct Enablement {
    file: PathBuf,
    makes_directory: bool,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    disabled: BTreeSet<String>,
}

impl Enablement {
    /// As that file says, which need not exist, though its directory has to when
    /// something is said.
    #[must_use]
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            makes_directory: false,
        }
    }

    /// The same; the directory is made when something is said.
    #[must_use]
    pub fn in_own_directory(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            makes_directory: true,
        }
    }

    /// Where it is kept.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the module of that name may be loaded.
    pub fn is_enabled(&self, name: &str) -> Result<bool> {
        Ok(!self.read()?.disabled.contains(name))
    }

    /// Lets the module of that name be loaded from now on, or not any more.
    /// What it has loaded stays loaded.
    pub fn set(&self, name: &str, enabled: bool) -> Result<()> {
        let mut state = self.read()?;
        let changed = match enabled {
            true => state.disabled.remove(name),
            false => state.disabled.insert(name.to_owned()),
        };
        if !changed {
            return Ok(());
        }
        let failed = |error| Error::from_host(error, self.cannot("write"));
        let text = serde_json::to_string_pretty(&state).map_err(|error| failed(error.into()))?;
        if let (true, Some(directory)) = (self.makes_directory, self.file.parent()) {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // Whoever reads meanwhile sees the one or the other.
        let new = self
            .file
            .with_extension(format!("new-{}", std::process::id()));
        fs::write(&new, text + "\n")
            .and_then(|()| fs::rename(&new, &self.file))
            .map_err(failed)
    }

    fn read(&self) -> Result<State> {
        let text = match fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(Error::from_host(error, self.cannot("read"))),
        };
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!(
                "{} ({error}); correct or remove it",
                self.cannot("understand")
            );
            Error::new(Errno::EINVAL, message)
        })
    }

    fn cannot(&self, what: &str) -> String {
        let file = self.file.display();
        format!("cannot {what} `{file}`, which says which modules are disabled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_remembered() {
        let directory = transom_test::temp_dir().unwrap();
        let file = directory.path().join("sub/modules.json");
        let enablement = Enablement::in_own_directory(&file);
        let said = |name: &str| enablement.is_enabled(name).unwrap();
        let say = |name: &str, enabled| enablement.set(name, enabled).unwrap();
        assert!(said("one"));
        say("one", true);
        assert!(!file.exists());
        say("one", false);
        say("two", false);
        assert!(!said("one") && !said("two") && said("three"));
        say("one", true);
        assert!(said("one") && !said("two"));
        let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_missing_directory_is_an_error_unless_it_is_our_own() {
        let directory = transom_test::temp_dir().unwrap();
        let file = directory.path().join("sub/modules.json");
        let error = Enablement::at(&file).set("one", false).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
        assert!(error.to_string().contains("sub/modules.json"), "{error}");
        assert!(!directory.path().join("sub").exists());
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let directory = transom_test::temp_dir().unwrap();
        let file = directory.path().join("modules.json");
        for text in ["", "{}", "{\"disabled\": [], \"enabled\": []}", "[]"] {
            fs::write(&file, text).unwrap();
            let error = Enablement::at(&file).is_enabled("one").unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL);
            assert!(error.to_string().contains("modules.json"), "{error}");
        }
    }
}
