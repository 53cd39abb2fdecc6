//! NetworkPolicy evaluation: the decision for a flow, and why.
