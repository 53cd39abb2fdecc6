//! The generated messages. Private: the rest of the project speaks the model.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/peerwalk.v1.rs"));
