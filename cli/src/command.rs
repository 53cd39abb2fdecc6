//! What can be asked, one command a file. Each takes its arguments and gives its exit code; what it prints goes to the
//! standard output, and what it has to say about it to the standard error.

pub mod completions;
pub mod diff;
pub mod explain;
pub mod lint;
pub mod matrix;
pub mod status;
pub mod wait;
