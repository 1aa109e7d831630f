/// What a step found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many tests ran, whether they passed or not.
    pub(crate) run: usize,
    /// The names of those that failed.
    pub(crate) failed: Vec<String>,
    /// The tests that did not run.
    pub(crate) skipped: Vec<Skip>,
    /// What whoever reads the summary should know besides.
    pub(crate) notes: Vec<String>,
}

/// A test that did not run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) test: String,
    pub(crate) reason: String,
}
