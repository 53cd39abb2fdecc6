//! What selectors select, and how they read.

use super::*;

fn labels(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn requirement(operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: "app".to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

#[test]
fn operators() {
    let (web, api, none) = (labels(&[("app", "web")]), labels(&[("app", "api")]), labels(&[("tier", "web")]));
    // Operator, values, and whether app=web, app=api and no such label are selected.
    let table = [
        (Operator::In, &["web"][..], [true, false, false], "app=web"),
        (Operator::In, &["web", "api"][..], [true, true, false], "app in (api,web)"),
        (Operator::NotIn, &["web"][..], [false, true, true], "app notin (web)"),
        (Operator::Exists, &[][..], [true, true, false], "app"),
        (Operator::DoesNotExist, &[][..], [false, false, true], "!app"),
    ];
    for (operator, values, expected, text) in table {
        let requirement = requirement(operator, values);
        let selected = [&web, &api, &none].map(|labels| requirement.matches(labels));
        assert_eq!(selected, expected, "{text} selects app=web, app=api, none");
        assert_eq!(requirement.to_string(), text, "written as kubectl writes it");
    }
}

#[test]
fn an_empty_selector_selects_everything() {
    assert!(Selector::everything().matches(&labels(&[])), "nothing is required");
}

#[test]
fn all_requirements_must_hold() {
    let selector = Selector::labels([("app", "web"), ("tier", "front")]);
    assert!(selector.matches(&labels(&[("app", "web"), ("tier", "front"), ("more", "yes")])));
    let partly = labels(&[("app", "web")]);
    assert!(!selector.matches(&partly), "one requirement is not met");
    let unmet: Vec<String> = selector.unmet(&partly).map(ToString::to_string).collect();
    assert_eq!(unmet, ["tier=front"], "it is named");
}
