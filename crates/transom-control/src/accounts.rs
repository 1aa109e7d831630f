//! What each user may take up of a server, so that nobody has to share what
//! another one wastes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Uid, geteuid};

use crate::Admission;
use crate::transport::Gate;

/// Most descriptors that were received from one user and belong to calls that
/// are not answered yet. Whoever sends more loses the connection.
pub const DESCRIPTORS_OF_USER_MAX: usize = 4096;

/// Most messages above 64 KiB that are received from one user at the same time,
/// or being answered. Others wait, and their senders with them.
pub const LARGE_MESSAGES_OF_USER_MAX: usize = 4;

/// Who waits longer than this to send a large message loses the connection.
const LARGE_MESSAGE_PATIENCE: Duration = Duration::from_secs(30);

/// The accounts of all users who are connected.
#[derive(Debug)]
pub(crate) struct Accounts {
    admission: Admission,
    users: Mutex<HashMap<Uid, Account>>,
    large_message_ended: Condvar,
}

#[derive(Debug, Default)]
struct Account {
    connections: usize,
    descriptors: usize,
    large_messages: usize,
}

/// One connection's part of its user's account.
#[derive(Debug)]
pub(crate) struct Share {
    accounts: Arc<Accounts>,
    user: Uid,
    descriptors: usize,
    has_large_message: bool,
}

impl Accounts {
    pub(crate) fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Self {
            admission,
            users: Mutex::default(),
            large_message_ended: Condvar::new(),
        })
    }

    /// Room for one more connection of that user, if there is any.
    pub(crate) fn admit(self: &Arc<Self>, user: Uid) -> Option<Share> {
        let mut users = self.lock();
        let connections: usize = users.values().map(|account| account.connections).sum();
        let of_user = users.get(&user).map_or(0, |account| account.connections);
        let Admission {
            connections: all,
            connections_of_user: each,
            ..
        } = self.admission;
        // Others cannot keep out who has to mend it.
        let is_ours = user.is_root() || user == geteuid();
        if of_user >= each || connections >= all && !is_ours {
            return None;
        }
        users.entry(user).or_default().connections += 1;
        Some(Share {
            accounts: Arc::clone(self),
            user,
            descriptors: 0,
            has_large_message: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Account>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// A message with so many descriptors was answered.
    pub(crate) fn answered(&mut self, descriptors: usize) {
        if descriptors > 0 || self.has_large_message {
            let accounts = Arc::clone(&self.accounts);
            if let Some(account) = accounts.lock().get_mut(&self.user) {
                self.give_back(account, descriptors);
            }
        }
    }

    fn give_back(&mut self, account: &mut Account, descriptors: usize) {
        account.descriptors -= descriptors;
        self.descriptors -= descriptors;
        if std::mem::take(&mut self.has_large_message) {
            account.large_messages -= 1;
            self.accounts.large_message_ended.notify_all();
        }
    }
}

impl Gate for Share {
    fn descriptors(&mut self, count: usize) -> io::Result<()> {
        let mut users = self.accounts.lock();
        let account = users.entry(self.user).or_default();
        if account.descriptors + count > DESCRIPTORS_OF_USER_MAX {
            let message = format!(
                "user {} has sent more than {DESCRIPTORS_OF_USER_MAX} descriptors at a time",
                self.user.as_raw()
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        account.descriptors += count;
        self.descriptors += count;
        Ok(())
    }

    fn large_message(&mut self) -> io::Result<()> {
        if self.has_large_message {
            return Ok(());
        }
        let is_full = |users: &mut HashMap<Uid, Account>| {
            users.entry(self.user).or_default().large_messages >= LARGE_MESSAGES_OF_USER_MAX
        };
        let (mut users, waited) = self
            .accounts
            .large_message_ended
            .wait_timeout_while(self.accounts.lock(), LARGE_MESSAGE_PATIENCE, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        users.entry(self.user).or_default().large_messages += 1;
        self.has_large_message = true;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let accounts = Arc::clone(&self.accounts);
        let mut users = accounts.lock();
        if let Some(account) = users.get_mut(&self.user) {
            self.give_back(account, self.descriptors);
            account.connections -= 1;
            if account.connections == 0 {
                users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Admission = Admission {
        connections: 3,
        connections_of_user: 2,
        ..Admission::PRIVATE
    };

    #[test]
    fn a_user_has_a_part_of_the_connections() {
        let accounts = Accounts::new(LIMITS);
        let [one, other] = [Uid::from_raw(1), Uid::from_raw(2)];
        let first = accounts.admit(one);
        let second = accounts.admit(one);
        assert!(first.is_some() && second.is_some());
        assert!(accounts.admit(one).is_none());
        let third = accounts.admit(other);
        assert!(third.is_some());
        assert!(accounts.admit(other).is_none(), "three in all");
        let root = accounts.admit(Uid::ROOT);
        assert!(root.is_some());
        drop((first, second, third, root));
        assert!(accounts.lock().is_empty());
    }

    #[test]
    fn descriptors_and_large_messages_are_given_back() {
        let accounts = Accounts::new(LIMITS);
        let user = Uid::from_raw(1);
        let mut one = accounts.admit(user).unwrap();
        let mut other = accounts.admit(user).unwrap();
        one.descriptors(DESCRIPTORS_OF_USER_MAX).unwrap();
        assert!(other.descriptors(1).is_err(), "it is the same user");
        one.large_message().unwrap();
        one.large_message().unwrap();
        one.answered(1);
        other.descriptors(1).unwrap();
        assert_eq!(accounts.lock()[&user].large_messages, 0);
        drop(one);
        assert_eq!(accounts.lock()[&user].descriptors, 1);
    }
}
