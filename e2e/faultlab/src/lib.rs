//! Networks that fail in every way that can be told apart without privileges, and what must be said of each.
//!
//! A case is a file of `cases/`: which servers there are, what is broken, what is probed, and the answer that is right.
//! Each is played in every form of network and family that it names, with the sidecar's program as it runs in a pod: uid
//! 65532, no capability. It is asked alone, or there are a hub and a judge with it. What is said is graded; a confident
//! wrong cause is the one thing that must never come.

pub mod case;
pub mod cgroup;
mod cluster;
mod grade;
pub mod lab;
pub mod load;
pub mod matrix;
mod peers;
mod pod;
pub mod run;
mod servers;
