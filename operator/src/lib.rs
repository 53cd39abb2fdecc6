//! What the operator's binary is made of, beside the controller, the hub and the webhook.

pub mod certificates;
pub mod pki;
