//! Tests of the certificates, judged by the verifier that sidecars and API servers stand for.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};

use super::*;

mod rotation;

const HUB: &str = "peerwalk-hub.peerwalk.svc";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn now() -> Timestamp {
    at("2026-11-01T12:00:00Z")
}

fn days_later(days: u64) -> Timestamp {
    after(now(), Duration::from_hours(24 * days))
}

fn names() -> Vec<String> {
    vec![HUB.to_owned(), format!("{HUB}.cluster.local")]
}

fn root() -> Authority {
    Authority::create("Peerwalk hub root", now()).expect("an authority")
}

/// What a client that trusts `root` and asked for `name` says at that moment.
fn verified(root: &Authority, leaf: &Leaf, name: &str, at: Timestamp) -> Result<(), rustls::Error> {
    verified_with(root, leaf, &[], name, at)
}

/// The same, where the server sends these certificates after its own.
fn verified_with(
    root: &Authority,
    leaf: &Leaf,
    between: &[CertificateDer<'_>],
    name: &str,
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(root.certificate_pem().as_bytes()).expect("PEM");
    roots.add(der).expect("a trust anchor");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs()));
    verifier.verify_server_cert(leaf.certificate(), between, &name, &[], at).map(|_| ())
}

#[test]
fn leaves_are_verified_by_their_authority_for_their_names_and_their_time() {
    let (root, other) = (root(), root());
    let leaf = root.issue(&names(), now()).expect("a leaf");
    let hour = Duration::from_hours(1);
    assert_eq!(verified(&root, &leaf, HUB, now()), Ok(()));
    assert_eq!(verified(&root, &leaf, "peerwalk-hub.peerwalk.svc.cluster.local", now()), Ok(()));
    assert_eq!(verified(&root, &leaf, HUB, before(now(), hour)), Ok(()), "a clock that is behind");
    assert_eq!(verified(&root, &leaf, HUB, before(days_later(30), hour)), Ok(()), "30 days");
    assert!(verified(&root, &leaf, HUB, days_later(31)).is_err(), "after its end");
    assert!(verified(&root, &leaf, HUB, before(now(), hour * 25)).is_err(), "before its beginning");
    assert!(verified(&root, &leaf, "peerwalk-hub.other.svc", now()).is_err(), "another name");
    assert!(verified(&other, &leaf, HUB, now()).is_err(), "another authority of the same name");
}

#[test]
fn an_authority_that_was_stored_signs_for_those_that_trust_the_first() {
    let first = root();
    let stored = Authority::parse(first.certificate_pem(), &first.key_pem()).expect("an authority");
    let later = days_later(365 * 9);
    let leaf = stored.issue(&names(), later).expect("a leaf, nine years on");
    assert_eq!(verified(&first, &leaf, HUB, later), Ok(()));
}

#[test]
fn an_authority_lasts_ten_years_and_no_leaf_outlives_it() {
    let root = root();
    assert_eq!(root.not_after(), days_later(3650));
    let leaf = root.issue(&names(), days_later(3649)).expect("a leaf of the last day");
    assert_eq!(verified(&root, &leaf, HUB, before(days_later(3650), Duration::from_secs(1))), Ok(()));
    assert!(leaf.needs_renewal(days_later(3650)), "it ends with its authority");
    assert!(
        matches!(root.issue(&names(), days_later(3650)), Err(PkiError::Expired { not_after, .. })
            if not_after == days_later(3650)),
        "an authority that has ended signs nothing"
    );
}

#[test]
fn leaves_are_renewed_at_two_thirds_of_their_life() {
    let leaf = root().issue(&names(), now()).expect("a leaf");
    let table = [
        (now(), false),
        (before(days_later(20), Duration::from_secs(1)), false),
        (days_later(20), true),
        (days_later(400), true),
        (before(now(), Duration::from_hours(1)), false),
        (before(now(), Duration::from_hours(25)), true),
    ];
    for (moment, expected) in table {
        assert_eq!(leaf.needs_renewal(moment), expected, "at {moment}, issued at {}", now());
    }
}

#[test]
fn each_leaf_has_a_key_of_its_own() {
    let root = root();
    let (one, two) = (root.issue(&names(), now()).expect("one"), root.issue(&names(), now()).expect("two"));
    assert_ne!(one.key().secret_der(), two.key().secret_der());
}

#[test]
fn clocks_far_off_make_certificates_and_no_panic() {
    for moment in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let made = Authority::create("root", moment).and_then(|root| root.issue(&names(), moment));
        assert!(made.is_ok() || matches!(made, Err(PkiError::Expired { .. })), "at {moment}");
    }
}

#[test]
fn what_is_no_authority_is_refused_with_the_reason() {
    let (root, other) = (root(), root());
    let leaf = rcgen::generate_simple_self_signed(names()).expect("a leaf");
    let leaf_key = leaf.signing_key.serialize_pem();
    let table = [
        (root.certificate_pem().to_owned(), other.key_pem(), PairError::Mismatch),
        (root.certificate_pem().to_owned(), "no key".to_owned(), PairError::Key),
        (root.certificate_pem().to_owned(), root.certificate_pem().to_owned(), PairError::Key),
        ("no certificate".to_owned(), root.key_pem(), PairError::Certificate),
        (root.key_pem(), root.key_pem(), PairError::Certificate),
        (leaf.cert.pem(), leaf_key, PairError::NotAuthority),
    ];
    for (certificate, key, expected) in table {
        assert_eq!(Authority::parse(&certificate, &key).err(), Some(expected));
    }
}

#[test]
fn a_secret_holds_both_authorities() {
    let made = Authorities::create(now()).expect("authorities");
    let data = made.to_data();
    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["hub-root.crt", "hub-root.key", "webhook-ca.crt", "webhook-ca.key"]);
    let read = Authorities::from_data(&data).expect("authorities");
    assert_eq!(read.to_data(), data, "what is read is what was written");
    assert_ne!(data["hub-root.key"], data["webhook-ca.key"], "they are separate");
}

#[test]
fn a_damaged_secret_is_refused_by_the_name_of_the_key() {
    let whole = Authorities::create(now()).expect("authorities").to_data();
    for key in whole.keys() {
        let mut data = whole.clone();
        data.remove(key);
        let error = Authorities::from_data(&data).err().expect("a key is missing");
        assert_eq!(error, AuthoritiesError::Missing { key: key.clone() });
        assert!(error.to_string().contains("restore the Secret"), "the remedy is named: {error}");

        data.insert(key.clone(), vec![0xff]);
        let error = Authorities::from_data(&data).err().expect("no text");
        assert_eq!(error, AuthoritiesError::NotText { key: key.clone() });

        data.insert(key.clone(), b"junk".to_vec());
        let error = Authorities::from_data(&data).err().expect("junk");
        let name = key.split('.').next().expect("a name");
        assert!(Authorities::owns(key), "{key} is ours");
        assert!(error.to_string().starts_with(&format!("keys {name}.crt and {name}.key")), "{error}");
    }
}
