use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ViewPath, json_bytes, shown};

/// Something of an action's own that is mounted over a name of its view, and
/// hides what is declared there and below.
///
/// Inputs below a directory that can be written are not hidden: they are
/// mounted into it, as they are when the action starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// Where it is.
    pub at: ViewPath,
    /// What it is.
    #[serde(flatten)]
    pub kind: CoverKind,
}

/// What is mounted over a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum CoverKind {
    /// The action's own `/proc`.
    OwnProc,
    /// The action's own `/dev`.
    OwnDev,
    /// The action's own `/tmp`.
    OwnTmp,
    /// Scratch, in which the action makes an output of that name.
    Output {
        /// The host path the output is moved to.
        #[serde(with = "json_bytes")]
        destination: PathBuf,
    },
    /// Scratch.
    Writable,
}

/// The rest of a sentence that begins with a name at or below it.
impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.kind {
            CoverKind::OwnProc => write!(f, "belongs to the action's own `/proc`"),
            CoverKind::OwnDev => write!(f, "belongs to the action's own `/dev`"),
            CoverKind::OwnTmp => write!(
                f,
                "belongs to the action's own `/tmp`, which is empty when it starts"
            ),
            CoverKind::Output { destination } => write!(
                f,
                "belongs to the output `{at}`, which is moved to `{}` when the command has \
                 succeeded",
                shown(&destination)
            ),
            CoverKind::Writable => write!(
                f,
                "belongs to `{at}`, which the action can write: it lies in scratch and holds what \
                 the action puts there"
            ),
        }
    }
}
