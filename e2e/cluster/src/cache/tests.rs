//! Keys and folders of the cache.

use std::fs;

use super::{folder_in, key};

#[test]
fn a_key_changes_with_each_part_and_their_borders() {
    let keys =
        [key([&b"ab"[..], b"c"]), key([&b"a"[..], b"bc"]), key([&b"abc"[..]]), key([&b"ab"[..], b"d"])];
    for (i, k) in keys.iter().enumerate() {
        assert_eq!(k.len(), 16, "expected 16 hexadecimal digits");
        assert!(!keys[i + 1..].contains(k), "expected different keys for different parts: {keys:?}");
    }
    assert_eq!(key([&b"ab"[..], b"c"]), keys[0], "expected the same key for the same parts");
}

#[test]
fn a_folder_is_filled_once_and_not_at_all_when_that_fails() {
    let root = std::env::temp_dir().join(format!("peerwalk-cache-{}", std::process::id()));
    let failed = folder_in(&root, "kind-1.2.3/k", |partial| {
        fs::write(partial.join("half"), "")?;
        anyhow::bail!("no")
    });
    assert_eq!(failed.unwrap_err().to_string(), "no", "expected the reason to be kept");
    let left: Vec<_> = fs::read_dir(root.join("kind-1.2.3")).unwrap().collect();
    assert!(left.is_empty(), "expected nothing to be left of a failure: {left:?}");
    let made = folder_in(&root, "kind-1.2.3/k", |partial| Ok(fs::write(partial.join("file"), "1")?)).unwrap();
    let again = folder_in(&root, "kind-1.2.3/k", |_| panic!("expected the folder to be there")).unwrap();
    assert_eq!(made, again);
    assert_eq!(fs::read_to_string(made.join("file")).unwrap(), "1");
    // A version's dots are no file extension.
    let dotted = folder_in(&root, "kind-1.2.4", |_| Ok(())).unwrap();
    assert!(dotted.ends_with("kind-1.2.4"), "expected the whole name: {}", dotted.display());
    fs::remove_dir_all(root).unwrap();
}
