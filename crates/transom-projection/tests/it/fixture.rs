use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use transom_projection::{
    Declaration, Errors, HostRoot, Mapping, Origin, PinError, Projection, ProjectionOptions, Tree,
    View, ViewOptions, ViewPath,
};

use crate::client::Client;

/// A projection, and a directory with the host files it is made of.
pub(crate) struct Fixture {
    pub(crate) projection: Projection,
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_options(ProjectionOptions::default())
    }

    pub(crate) fn with_options(options: ProjectionOptions) -> Self {
        let host = HostRoot::of_process().unwrap();
        Self {
            projection: Projection::new(host, options),
            directory: transom_test::temp_dir().unwrap(),
        }
    }

    /// Every version is pinned by its stamp alone.
    pub(crate) fn without_descriptors() -> Self {
        Self::with_options(ProjectionOptions {
            descriptors: Some(0),
            ..ProjectionOptions::default()
        })
    }

    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a host file, in place if it exists.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.host(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Replaces a host file by rename.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let beside = self.write("beside", text);
        fs::rename(beside, self.host(name)).unwrap();
    }

    pub(crate) fn pin(
        &self,
        options: ViewOptions,
        declarations: Vec<Declaration>,
    ) -> Result<Arc<View>, Errors<PinError>> {
        self.projection
            .pin(Tree::build(declarations).unwrap(), options)
    }

    pub(crate) fn view(&self, declarations: Vec<Declaration>) -> Arc<View> {
        self.pin(ViewOptions::default(), declarations).unwrap()
    }

    pub(crate) fn client(&self, view: &Arc<View>) -> Client {
        Client::new(&self.projection, view)
    }
}

pub(crate) fn path(text: &str) -> ViewPath {
    ViewPath::parse(text.as_bytes()).unwrap()
}

fn declaration(name: &str, mapping: Mapping) -> Declaration {
    Declaration {
        name: path(name),
        mapping,
        origin: Origin {
            source: "test.json".into(),
            line: Some(7),
        },
    }
}

pub(crate) fn file(name: &str, source: &Path) -> Declaration {
    let mapping = Mapping::File {
        source: source.into(),
        executable: None,
    };
    declaration(name, mapping)
}

pub(crate) fn file_with(name: &str, source: &Path, executable: bool) -> Declaration {
    let mapping = Mapping::File {
        source: source.into(),
        executable: Some(executable),
    };
    declaration(name, mapping)
}

pub(crate) fn whole(name: &str, source: &Path) -> Declaration {
    let mapping = Mapping::Directory {
        source: source.into(),
    };
    declaration(name, mapping)
}

pub(crate) fn link(name: &str, target: &str) -> Declaration {
    let mapping = Mapping::Symlink {
        target: target.into(),
    };
    declaration(name, mapping)
}

pub(crate) fn directory(name: &str) -> Declaration {
    declaration(name, Mapping::EmptyDirectory)
}
