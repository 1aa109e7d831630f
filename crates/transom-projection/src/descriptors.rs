//! The descriptors that a projection keeps.
//!
//! A process may have only so many, and the kernel makes us forget what it was
//! told about as late as it can. So there is a budget for all that is kept for
//! longer than one call. What is beyond it is known by its stamp alone and
//! found again when it is needed, through descriptors that are closed at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many more descriptors may be kept.
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

/// A descriptor that is kept within the budget, to which dropping it gives its
/// place back.
#[derive(Debug)]
pub(crate) struct Kept {
    descriptor: Arc<OwnedFd>,
    budget: Arc<Budget>,
}

impl Budget {
    pub(crate) fn new(descriptors: usize) -> Self {
        Self(AtomicUsize::new(descriptors))
    }

    /// Keeps a descriptor, or closes it if too many are kept already.
    pub(crate) fn keep(self: &Arc<Self>, descriptor: OwnedFd) -> Option<Kept> {
        let one_less = |left: usize| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .ok()?;
        Some(Kept {
            descriptor: Arc::new(descriptor),
            budget: self.clone(),
        })
    }
}

impl Kept {
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.descriptor
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.0.fetch_add(1, Ordering::Relaxed);
    }
}
