//! The shared words: pods, targets, plans, evidence, verdicts, reasons.
