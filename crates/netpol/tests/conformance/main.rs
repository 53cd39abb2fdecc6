//! The evaluation against results that others have written down: the end-to-end tests of Kubernetes, and the
//! test data of np-guard.

mod np_guard;
mod upstream;
