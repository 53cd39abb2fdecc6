//! What is built agrees with what is said about it.

use std::fs;

use super::{COMPONENTS, KUBERNETES, sources};

#[test]
fn the_reported_version_is_the_one_that_is_built() {
    let modules = fs::read_to_string(sources().join("kube/go.mod")).unwrap();
    let wanted = format!("k8s.io/kubernetes {KUBERNETES}");
    assert!(modules.lines().any(|l| l.trim() == wanted), "expected `{wanted}` in kube/go.mod");
}

#[test]
fn each_program_has_sources_and_a_key_of_its_own() {
    let keys: Vec<String> = COMPONENTS.iter().map(|c| c.key().unwrap()).collect();
    for (i, component) in COMPONENTS.iter().enumerate() {
        assert!(
            sources().join(component.module).join(component.package).join("main.go").is_file(),
            "{}",
            component.name
        );
        assert!(!keys[i + 1..].contains(&keys[i]), "expected {} to have a key of its own", component.name);
    }
}
