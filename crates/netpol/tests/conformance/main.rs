//! The evaluation against results that others have written down: the end-to-end tests of Kubernetes, and the
//! test data of np-guard.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may, in its helpers too")]

mod np_guard;
mod upstream;
