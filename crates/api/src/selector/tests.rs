//! Selectors as the API server reads them.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn expression(key: &str, operator: LabelOperator, values: &[&str]) -> LabelSelector {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    LabelSelector {
        match_expressions: vec![LabelExpression { key: key.into(), operator, values }],
        ..LabelSelector::default()
    }
}

#[test]
fn each_operator_selects_as_kubernetes_does() {
    use LabelOperator::{DoesNotExist, Exists, In, NotIn};
    let web = labels(&[("app", "web"), ("tier", "")]);
    for (selector, expected) in [
        (LabelSelector::default(), true),
        (LabelSelector { match_labels: labels(&[("app", "web")]), ..LabelSelector::default() }, true),
        (LabelSelector { match_labels: labels(&[("app", "db")]), ..LabelSelector::default() }, false),
        (LabelSelector { match_labels: labels(&[("zone", "")]), ..LabelSelector::default() }, false),
        (expression("app", In, &["web", "db"]), true),
        (expression("app", In, &["db"]), false),
        (expression("zone", In, &["a"]), false),
        (expression("app", NotIn, &["db"]), true),
        (expression("app", NotIn, &["web"]), false),
        (expression("zone", NotIn, &["a"]), true),
        (expression("tier", Exists, &[]), true),
        (expression("zone", Exists, &[]), false),
        (expression("zone", DoesNotExist, &[]), true),
        (expression("tier", DoesNotExist, &[]), false),
    ] {
        assert_eq!(selector.matches(&web), expected, "{selector:?} on {web:?}");
    }
}

#[test]
fn all_parts_must_match() {
    let mut selector = expression("tier", LabelOperator::Exists, &[]);
    selector.match_labels = labels(&[("app", "web")]);
    assert!(selector.matches(&labels(&[("app", "web"), ("tier", "front")])), "both hold");
    assert!(!selector.matches(&labels(&[("app", "web")])), "the expression does not hold");
    assert!(!selector.matches(&labels(&[("tier", "front")])), "the label does not match");
}
