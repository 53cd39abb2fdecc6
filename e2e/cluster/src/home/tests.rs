//! Which folders can be a cluster's, and what their cgroups are called.

use super::{Home, State};

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

#[test]
fn what_there_is_decides_what_can_be_done() {
    for (processes, ready, init, state) in [
        (true, false, false, State::Starting),
        (true, false, true, State::Starting),
        (true, true, true, State::Running),
        // Killed after it was ready, with and without processes that still end.
        (true, true, false, State::Remains),
        (false, true, false, State::Remains),
        // A start that was interrupted.
        (false, false, false, State::Remains),
    ] {
        let found = State::of(processes, ready, init);
        assert_eq!(found, state, "processes {processes}, ready {ready}, init {init}");
    }
}

#[test]
fn a_folder_without_processes_is_what_a_crash_left() {
    let dir = std::env::temp_dir().join(format!("peerwalk-home-{}", std::process::id()));
    let home = Home::at(&dir).unwrap();
    assert_eq!(home.state().unwrap(), State::Absent);
    std::fs::create_dir(&dir).unwrap();
    assert_eq!(home.state().unwrap(), State::Remains);
    std::fs::remove_dir(&dir).unwrap();
}

#[test]
fn a_folder_of_something_else_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    // As of a user who means the folder above the cluster's.
    for folder in ["bin", "images", "scripts"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let home = Home::at(dir.path()).unwrap();
    for record in [None, Some("{}"), Some("")] {
        if let Some(record) = record {
            std::fs::write(dir.path().join("cluster.json"), record).unwrap();
        }
        let refused = home.remove().unwrap_err().to_string();
        assert!(refused.contains("is not a cluster's folder"), "with {record:?}: {refused}");
        assert!(dir.path().join("bin").is_dir(), "with {record:?}: expected nothing to be deleted");
    }
}
