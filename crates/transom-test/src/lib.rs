//! Fixtures shared by the test suites.
