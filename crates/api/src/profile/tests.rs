//! Limits of profiles, and what overrides them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::ConnectivityCheckSpec;

fn spec(fields: &Value) -> ConnectivityCheckSpec {
    let mut spec = json!({
        "source": { "podSelector": { "matchLabels": { "app": "web" } } },
        "targets": [{ "name": "t", "dns": { "name": "a" } }],
    });
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

#[test]
fn a_profile_gives_what_timeouts_do_not() {
    for (fields, connect, total, stale_after) in [
        (json!({}), 2, 3, 60),
        (json!({ "profile": "Lan" }), 2, 3, 60),
        (json!({ "profile": "CrossRegion" }), 5, 10, 60),
        (json!({ "profile": "Batch" }), 10, 30, 60),
        (json!({ "profile": "Batch", "interval": "20s" }), 10, 30, 70),
        (json!({ "profile": "Batch", "timeouts": { "connect": "1s" } }), 1, 30, 60),
        (json!({ "profile": "Batch", "timeouts": { "total": "12s" } }), 10, 12, 60),
        (json!({ "profile": "Batch", "timeouts": { "connect": "1s", "total": "4s" } }), 1, 4, 60),
        (json!({ "timeouts": { "total": "50s" } }), 2, 50, 70),
    ] {
        let spec = spec(&fields);
        let found = (spec.connect_timeout(), spec.total_timeout(), spec.stale_after());
        let expected = (connect, total, stale_after);
        let seconds = |(a, b, c)| (Duration::from_secs(a), Duration::from_secs(b), Duration::from_secs(c));
        assert_eq!(found, seconds(expected), "{fields}");
    }
}

#[test]
fn a_profile_is_called_in_rules_what_it_is_called_in_a_spec() {
    for profile in Profile::ALL {
        assert_eq!(serde_json::to_value(profile).unwrap(), json!(profile.name()), "{profile:?}");
    }
}
