use std::fmt;

/// The most errors of one kind that are collected before giving up.
pub const ERRORS_SHOWN_MAX: usize = 20;

/// One or more errors, so that a user sees several mistakes per attempt; never
/// empty, never more than [`ERRORS_SHOWN_MAX`].
#[derive(Debug)]
pub struct Errors<E>(Vec<E>);

impl<E> Errors<E> {
    /// The first errors that were found.
    #[must_use]
    pub fn shown(&self) -> &[E] {
        &self.0
    }
}

impl<E> From<E> for Errors<E> {
    fn from(error: E) -> Self {
        Self(vec![error])
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.0.len() == ERRORS_SHOWN_MAX {
            write!(f, "\n(stopped after {ERRORS_SHOWN_MAX} errors)")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Errors<E> {}

/// Errors while they are being collected.
#[derive(Debug)]
pub(crate) struct Collected<E>(Vec<E>);

impl<E> Default for Collected<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Collected<E> {
    /// Adds an error unless there are enough already.
    pub(crate) fn push(&mut self, error: E) {
        if !self.is_full() {
            self.0.push(error);
        }
    }

    /// Whether looking for more is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= ERRORS_SHOWN_MAX
    }

    pub(crate) fn append(&mut self, others: Errors<E>) {
        others.0.into_iter().for_each(|error| self.push(error));
    }

    /// `value` if there were no errors.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Errors<E>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Errors(self.0))
        }
    }
}
