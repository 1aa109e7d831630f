//! Checking a container that is not loaded, and repairing of it what a whole
//! copy is left of.

use transom_module::{Errno, Error, Resource, Result, Task};

use crate::members::Members;

/// Looks at labels and tables of all members, and logs what it finds. `EIO`, or
/// what else kept it from going on, if something is wrong that was not
/// repaired.
pub(crate) fn check(resources: Vec<Resource>, repair: bool, task: &Task) -> Result<()> {
    let members = Members::open(resources, !repair)?;
    let label = members.label();
    task.log(format!(
        "{} ({}): {} of {} members are there",
        label.shown(),
        label.container,
        members.present().count(),
        label.used.len()
    ));
    let missing = members.missing();
    let mut store = members.store(repair && missing.is_empty())?;
    let table = store.table();
    let used: u64 = table.volumes().map(|(_, row)| row.bytes()).sum();
    task.log(format!(
        "{} volumes with {used} of {} bytes, which overlap nowhere",
        table.volumes().count(),
        members.space().bytes()
    ));

    let damage: Vec<_> = members.label_damage().chain(store.damage()).collect();
    damage.iter().for_each(|damage| task.log(damage));
    let absent: Vec<_> = missing
        .iter()
        .map(|name| format!("{name} is missing"))
        .collect();
    absent.iter().for_each(|absent| task.log(absent));
    let mut left = absent.len();
    if repair && missing.is_empty() {
        members.repair_labels()?;
        store.settle()?;
        task.log(format!("{} repaired", damage.len()));
    } else {
        left += damage.len();
    }
    if left == 0 {
        return Ok(());
    }
    let first = damage
        .iter()
        .chain(&absent)
        .next()
        .map_or("", String::as_str);
    let message = format!("{left} things are wrong, first: {first}");
    Err(Error::new(Errno::EIO, message))
}
