//! What a start does before and beside the namespaces.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{from_assets, hold, last_words, wait_until_ready};
use crate::Quiet;

fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("peerwalk-launch-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_start_that_ends_early_is_noticed_and_has_last_words() {
    let dir = folder("hold");
    fs::create_dir(dir.join("scripts")).unwrap();
    // As where no cgroup can be made: it ends before the cluster has any process.
    fs::write(dir.join("scripts/hold.sh"), "echo \"$2 seconds are of no use\" >&2; exit 1").unwrap();
    let held = hold(&dir, Duration::from_mins(1)).unwrap();
    let error = wait_until_ready(&dir, &held, &mut Quiet).unwrap_err().to_string();
    assert_eq!(error, "its outermost process ended", "expected not to wait for what cannot come");
    assert_eq!(last_words(&dir), "60 seconds are of no use");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn kubebuilder_assets_need_three_programs_and_may_have_two_more() {
    let dir = folder("assets");
    for (present, outcome) in [
        (&["etcd", "kubectl"][..], Err("no kube-apiserver in it")),
        (&["kube-apiserver", "kubectl"], Err("no etcd in it")),
        (&["etcd", "kube-apiserver", "kube-scheduler"], Err("no kubectl in it")),
        (&["etcd", "kube-apiserver", "kubectl"], Ok(&["etcd", "kube-apiserver", "kubectl"][..])),
        (
            &["etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kind"],
            Ok(&["etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler"]),
        ),
    ] {
        fs::create_dir_all(&dir).unwrap();
        for name in present {
            fs::write(dir.join(name), "").unwrap();
        }
        match (from_assets(&dir), outcome) {
            (Ok(found), Ok(expected)) => {
                let expected: Vec<_> = expected.iter().map(|name| (*name, dir.join(name))).collect();
                assert_eq!(found, expected, "each by its name, from {present:?}");
            }
            (Err(error), Err(words)) => {
                let error = error.to_string();
                let folder = dir.display().to_string();
                assert!(error.contains(words) && error.contains(&folder), "{words}, of {present:?}: {error}");
            }
            (found, _) => panic!("{present:?} gave {found:?}"),
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
