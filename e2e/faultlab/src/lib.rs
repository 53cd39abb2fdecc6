//! Networks that fail in every way that can be told apart without privileges, and what must be said of each.
//!
//! A case is a file of `cases/`: which servers there are, what is broken, what is probed, and the answer that is right.
//! Each is played in every form of network and family that it names, with the one-shot probe as it runs in a pod: uid
//! 65532, no capability. What is said is graded; a confident wrong cause is the one thing that must never come.

pub mod case;
pub mod cgroup;
pub mod lab;
pub mod matrix;
pub mod run;
mod servers;
