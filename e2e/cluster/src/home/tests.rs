//! Which folders can be a cluster's, and what their cgroups are called.

use super::Home;

#[test]
fn only_plain_absolute_folders() {
    for dir in ["", "here", "/", "/tmp/with blank", "/tmp/quote'", "/tmp/line\n"] {
        assert!(
            Home::at(dir).is_err(),
            "expected {dir:?} to be refused: it is deleted as a whole and sourced by a shell"
        );
    }
    assert!(Home::at("/tmp/fine").is_ok());
}

#[test]
fn clusters_of_different_folders_have_different_cgroups() {
    assert_eq!(Home::at("/var/lib/peerwalk/cluster").unwrap().name(), "peerwalk");
    let (a, b) = (Home::at("/tmp/a").unwrap().name(), Home::at("/tmp/b").unwrap().name());
    assert!(a != b && a.starts_with("peerwalk-"), "expected names of their own: {a}, {b}");
    assert_eq!(
        Home::at("/tmp/a/").unwrap(),
        Home::at("/tmp/a").unwrap(),
        "expected one folder to be one cluster"
    );
}
