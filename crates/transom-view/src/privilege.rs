use transom_projection::OwnerMap;
use transom_sandbox::privilege::{Privilege, detect, enter_user_namespace};

use crate::error::Result;

/// Makes sure that this process may make mounts, and says what else it may do.
///
/// Root may. Anybody else enters a user namespace, in which users and groups
/// keep their numbers, and a mount namespace of its own; that is for good, for
/// the whole process, and has to be done before it starts threads.
pub fn obtain_privilege() -> Result<Privilege> {
    match detect()? {
        Privilege::None => {
            enter_user_namespace()?;
            Ok(Privilege::Namespace)
        }
        enough => Ok(enough),
    }
}

/// Who can be shown as the owner of a file: in a user namespace only our own
/// user and group. `None` where everybody can.
#[must_use]
pub fn owners(privilege: Privilege) -> Option<OwnerMap> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    (privilege != Privilege::Host).then(|| OwnerMap {
        uids: vec![uid..=uid],
        gids: vec![gid..=gid],
        overflow_uid: uid,
        overflow_gid: gid,
    })
}
