//! What a manifest asks of a sandbox, checked.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use transom_projection::{InvalidViewPath, Origin, ViewPath, shown};
use transom_sandbox::{
    Action, Base, Exceptions, HostMount, Network, Output, OutputKind, Tmp, layout,
};

use crate::backend::wire;

/// What an action has of its own. Bazel would let it write to the host's
/// `/dev`.
const PRIVATE_DIRECTORIES: [&str; 2] = ["/dev", "/proc"];

/// A sandbox to be made: an action without a command.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) action: Action,
    /// The host directory that the view lies over.
    pub(crate) exec_root: PathBuf,
    /// Directories that the tree needs besides what Bazel declares.
    pub(crate) directories: Vec<ViewPath>,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A host path that is none.
    #[error("{what} has to be an absolute path, and is {path:?}")]
    NotAbsolute {
        /// What the path is of.
        what: &'static str,
        /// The path.
        path: String,
    },
    /// A path in the sandbox that is none.
    #[error("{what} {path:?}: {source}")]
    Path {
        /// What the path is of.
        what: &'static str,
        /// The path.
        path: String,
        /// What is wrong with it.
        source: InvalidViewPath,
    },
    /// A host path that an action cannot see.
    #[error("`{}` is to be writable, but actions have a `/dev` and a `/proc` of their own; choose another `--sandbox_base`", shown(.0))]
    Private(PathBuf),
    /// An output of an unknown kind.
    #[error("the output {path:?} is of type {kind:?}; known are `file` and `dir`")]
    OutputType {
        /// The output.
        path: String,
        /// The type.
        kind: String,
    },
}

impl Plan {
    /// Checks `manifest`. `workspace` is the directory of the exec root that
    /// actions start in.
    pub(crate) fn new(manifest: &wire::Manifest, workspace: &OsStr) -> Result<Self, ManifestError> {
        let exec_root = absolute("the exec root", &manifest.exec_root)?;
        let confinement = manifest.confinement_setting.clone().unwrap_or_default();
        let mut writable = writable_on_host(&confinement.writable_paths)?;
        let mut directories = Vec::new();
        for (path, source) in sorted(&manifest.writable_dirs) {
            let source = absolute("a writable directory of the host", source)?;
            let path = inside("the writable directory", path)?;
            writable.push(HostMount {
                source,
                mount_at: exec_root.join(path.as_os_str()),
            });
            directories.push(path);
        }
        let hidden = confinement.inaccessible_paths.iter();
        let hidden = hidden
            .map(|path| absolute("a path that must not be read", path))
            .collect::<Result<_, _>>()?;

        let mut action = Action::new(Vec::new());
        action.working_directory = exec_root.join(workspace);
        action.base = Base::HostReadOnly {
            mount_at: exec_root.clone(),
            exceptions: Exceptions { writable, hidden },
        };
        action.network = match confinement.allow_network {
            true => Network::Host,
            false => Network::Loopback,
        };
        action.tmp = Tmp::AsDeclared;
        action.outputs = outputs(&manifest.outputs, &exec_root, &manifest.mnemonic)?;
        // Bazel has seen to it that nothing of worth is there, and judges
        // links itself.
        action.replace = true;
        action.keep_links = true;
        let needed = layout::mount_points(&action).into_iter();
        directories.extend(needed.map(|point| point.path));
        Ok(Self {
            action,
            exec_root,
            directories,
        })
    }
}

fn outputs(
    declared: &HashMap<String, wire::Output>,
    exec_root: &Path,
    mnemonic: &str,
) -> Result<Vec<Output>, ManifestError> {
    let declared = sorted(declared);
    declared
        .into_iter()
        .map(|(path, output)| {
            let kind = match &*output.r#type {
                "file" => OutputKind::File,
                "dir" => OutputKind::Directory,
                kind => {
                    return Err(ManifestError::OutputType {
                        path: path.clone(),
                        kind: kind.into(),
                    });
                }
            };
            let made_at = inside("the output", path)?;
            let goes_to = if output.dest.is_empty() {
                path
            } else {
                &output.dest
            };
            let goes_to = inside("the destination", goes_to)?;
            Ok(Output {
                path: made_at,
                kind,
                // Bazel itself tells the user what is missing.
                optional: true,
                destination: exec_root.join(goes_to.as_os_str()),
                origin: Origin {
                    source: format!("action {mnemonic}").into(),
                    line: None,
                },
            })
        })
        .collect()
}

fn writable_on_host(paths: &[String]) -> Result<Vec<HostMount>, ManifestError> {
    let mut writable = Vec::new();
    for path in paths {
        let path = absolute("a path that may be written", path)?;
        if PRIVATE_DIRECTORIES
            .iter()
            .any(|private| path == Path::new(private))
        {
            continue;
        }
        if PRIVATE_DIRECTORIES
            .iter()
            .any(|private| path.starts_with(private))
        {
            return Err(ManifestError::Private(path));
        }
        writable.push(HostMount {
            source: path.clone(),
            mount_at: path,
        });
    }
    // What contains others comes before them.
    writable.sort_by(|one, other| one.mount_at.cmp(&other.mount_at));
    Ok(writable)
}

/// In an order that does not change from one run to the next.
fn sorted<V>(map: &HashMap<String, V>) -> BTreeMap<&String, &V> {
    map.iter().collect()
}

fn absolute(what: &'static str, path: &str) -> Result<PathBuf, ManifestError> {
    match path.starts_with('/') && !path.contains('\0') {
        true => Ok(path.into()),
        false => Err(ManifestError::NotAbsolute {
            what,
            path: path.into(),
        }),
    }
}

/// A path from the sandbox's root, with a `/` before it.
fn inside(what: &'static str, path: &str) -> Result<ViewPath, ManifestError> {
    ViewPath::parse_inside(path.as_bytes()).map_err(|source| ManifestError::Path {
        what,
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> wire::Manifest {
        wire::Manifest {
            mnemonic: "CppCompile".into(),
            exec_root: "/base/execroot".into(),
            ..wire::Manifest::default()
        }
    }

    fn plan(manifest: &wire::Manifest) -> Result<Plan, String> {
        Plan::new(manifest, OsStr::new("_main")).map_err(|error| error.to_string())
    }

    fn with_output(path: &str, kind: &str, dest: &str) -> wire::Manifest {
        let mut manifest = manifest();
        let output = wire::Output {
            r#type: kind.into(),
            dest: dest.into(),
        };
        manifest.outputs.insert(path.into(), output);
        manifest
    }

    #[test]
    fn outputs_go_where_bazel_expects_them() {
        let plan = plan(&with_output(
            "/_main/out/bin/a.o",
            "file",
            "/_main/out/k8/bin/a.o",
        ))
        .unwrap();
        let [output] = &plan.action.outputs[..] else {
            panic!("{plan:?}");
        };
        assert_eq!(
            output.destination,
            Path::new("/base/execroot/_main/out/k8/bin/a.o")
        );
        let directories: Vec<_> = plan.directories.iter().map(ToString::to_string).collect();
        assert_eq!(directories, ["_main", "_main/out/bin"]);
    }

    #[test]
    fn what_an_action_may_do_to_the_host_is_taken_over() {
        let mut manifest = manifest();
        manifest
            .writable_dirs
            .insert("/tmp".into(), "/scratch/tmp".into());
        manifest.confinement_setting = Some(wire::ConfinementSetting {
            writable_paths: ["/tmp", "/scratch", "/dev"].map(String::from).into(),
            inaccessible_paths: vec!["/secret".into()],
            allow_network: true,
        });
        let plan = plan(&manifest).unwrap();
        assert_eq!(plan.action.network, Network::Host);
        let Base::HostReadOnly { exceptions, .. } = plan.action.base else {
            panic!("{:?}", plan.action.base);
        };
        let mounts = exceptions.writable.iter();
        let mounts: Vec<_> = mounts
            .map(|mount| {
                (
                    mount.source.to_str().unwrap(),
                    mount.mount_at.to_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("/scratch", "/scratch"),
            ("/tmp", "/tmp"),
            ("/scratch/tmp", "/base/execroot/tmp"),
        ];
        assert_eq!(mounts, expected);
        assert_eq!(exceptions.hidden, [Path::new("/secret")]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let relative = wire::Manifest {
            exec_root: "execroot".into(),
            ..manifest()
        };
        let mut private = manifest();
        private.confinement_setting = Some(wire::ConfinementSetting {
            writable_paths: vec!["/dev/shm/sandbox/1".into()],
            ..wire::ConfinementSetting::default()
        });
        let cases = [
            (private, "`/dev/shm/sandbox/1` is to be writable, but"),
            (
                relative,
                "the exec root has to be an absolute path, and is \"execroot\"",
            ),
            (
                with_output("/_main/a", "fifo", ""),
                "the output \"/_main/a\" is of type \"fifo\"",
            ),
            (with_output("/../a", "file", ""), "the output \"/../a\": "),
            (
                with_output("/_main/a", "dir", "/../b"),
                "the destination \"/../b\": ",
            ),
        ];
        for (manifest, expected) in cases {
            let error = plan(&manifest).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
