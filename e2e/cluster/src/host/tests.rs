//! What is concluded from what a machine shows.

use std::fs;
use std::path::PathBuf;

use super::{check_cgroups, effective_user, hierarchy, is_in, lacking, no_namespaces};

/// A folder that stands for a machine's.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("peerwalk-host-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_effective_user_is_the_one_that_counts() {
    for (status, user) in [
        ("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n", Some(0)),
        ("Name:\tx\nUid:\t1000\t0\t0\t0\n", Some(0)),
        ("Name:\tx\nUid:\t0\t1000\t0\t1000\n", Some(1000)),
        ("Name:\tx\n", None),
    ] {
        assert_eq!(effective_user(status), user, "{status:?}");
    }
}

#[test]
fn programs_are_looked_for_in_path_and_files_where_they_are() {
    let bin = folder("path");
    fs::write(bin.join("peerwalk-tool"), "").unwrap();
    let path = format!("/nowhere:{}", bin.display());
    assert!(is_in(&path, "peerwalk-tool"), "expected a program to be found in PATH");
    assert!(!is_in("/nowhere", "peerwalk-tool"), "expected it to be missing where PATH does not lead");
    assert!(is_in("", "sh"), "expected the system's folders to be looked through in any case");
    assert!(is_in("", &bin.join("peerwalk-tool").display().to_string()), "expected a file to be found");
    assert!(
        !is_in(&path, "/nowhere/peerwalk-tool"),
        "expected a file to be looked for where it is said to be"
    );
    fs::remove_dir_all(bin).unwrap();
}

#[test]
fn a_package_is_named_once_for_all_it_lacks() {
    let wanted = [("/nowhere/b", "tools"), ("/nowhere/a", "tools"), ("/nowhere/c", "more"), ("sh", "dash")];
    assert_eq!(lacking(&wanted), ["more", "tools"], "sorted, once, and without what is there");
}

#[test]
fn the_hierarchy_is_that_of_version_two_or_pids_of_version_one() {
    let root = folder("hierarchy");
    assert_eq!(hierarchy(&root), None, "expected none where nothing is mounted");
    fs::create_dir(root.join("pids")).unwrap();
    assert_eq!(hierarchy(&root), None, "expected an empty folder to be none");
    fs::write(root.join("pids/cgroup.procs"), "").unwrap();
    assert_eq!(hierarchy(&root), Some(root.join("pids")));
    fs::write(root.join("cgroup.controllers"), "").unwrap();
    assert_eq!(hierarchy(&root), Some(root.clone()));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_cgroup_is_tried_and_nothing_is_left() {
    let root = folder("cgroups");
    check_cgroups(&root).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "expected the try to be removed");
    fs::write(root.join("file"), "").unwrap();
    let error = format!("{:#}", check_cgroups(&root.join("file")).unwrap_err());
    for words in ["file/peerwalk-check-", "--privileged", "Not a directory"] {
        assert!(error.contains(words), "expected {words:?} in: {error}");
    }
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_refused_namespace_says_who_refused_and_what_to_do() {
    let error = no_namespaces("unshare: unshare failed: Operation not permitted\n");
    for words in ["Operation not permitted)", "--privileged"] {
        assert!(error.contains(words), "expected {words:?} in: {error}");
    }
}
