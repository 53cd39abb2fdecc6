//! Places and deny modes as typed on a command line.

use super::Place;
use crate::Deny;

#[test]
fn places_by_name() {
    for (text, place) in [
        ("net", Place::Network),
        ("n1", Place::Node(1)),
        ("n2", Place::Node(2)),
        ("shop/web-0", Place::from_pod("shop", "web-0")),
    ] {
        assert_eq!(text.parse::<Place>().unwrap(), place);
    }
    for text in ["", "n3", "shop/", "/web-0", "web-0"] {
        let error = text.parse::<Place>().unwrap_err().to_string();
        assert!(
            error.contains("NAMESPACE/POD"),
            "expected {text:?} to be refused with what there is, got: {error}"
        );
    }
}

#[test]
fn deny_modes_by_name() {
    for deny in Deny::ALL {
        assert_eq!(deny.to_string().parse::<Deny>().unwrap(), deny);
    }
    let error = "rst".parse::<Deny>().unwrap_err().to_string();
    assert!(
        error.contains("\"rst\"") && error.contains("prohibited"),
        "expected the value and what there is, got: {error}"
    );
}
