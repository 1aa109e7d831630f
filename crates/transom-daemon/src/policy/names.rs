use std::collections::HashMap;
use std::fs;
use std::io;

/// The users and groups that a policy can call by name. Whoever is known to a
/// directory service only is called by number.
#[derive(Debug, Clone, Default)]
pub struct Names {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Names {
    /// Those of `/etc/passwd` and `/etc/group`.
    pub fn of_host() -> io::Result<Self> {
        let users = fs::read_to_string("/etc/passwd")?;
        let groups = fs::read_to_string("/etc/group")?;
        Ok(Self::parse(&users, &groups))
    }

    /// The two files: passwd(5), group(5). Name and number are the first and
    /// the third field of both.
    #[must_use]
    pub fn parse(users: &str, groups: &str) -> Self {
        let numbers = |text: &str| {
            text.lines()
                .filter_map(|line| {
                    let mut fields = line.split(':');
                    let name = fields.next()?.to_owned();
                    Some((name, fields.nth(1)?.parse().ok()?))
                })
                .collect()
        };
        Self {
            users: numbers(users),
            groups: numbers(groups),
        }
    }

    pub(super) fn user(&self, text: &str) -> Option<u32> {
        text.parse().ok().or_else(|| self.users.get(text).copied())
    }

    pub(super) fn group(&self, text: &str) -> Option<u32> {
        text.parse().ok().or_else(|| self.groups.get(text).copied())
    }
}
