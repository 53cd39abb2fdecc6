//! Behaviour of the evaluation.
