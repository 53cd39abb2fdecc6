//! A certificate for the webhook that somebody else keeps, in the form of cert-manager's Secrets.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::rotation::{Replica, Store, settle};
use super::*;
use crate::certificates::given::{Given, GivenError};
use crate::pki::SecretData;

const NAME: &str = "peerwalk-webhook.peerwalk.svc";

/// An issuer of somebody else's, and its certificate.
struct Other {
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl Other {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a CA").pem();
        Self { issuer: Issuer::new(params, key), ca }
    }

    /// A Secret with a certificate of that name, good for three months around the moment of the tests.
    fn issues(&self, name: &str) -> SecretData {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2026, 10, 1), date_time_ymd(2027, 1, 1));
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf");
        secret(&leaf.pem(), &key.serialize_pem(), &self.ca)
    }
}

fn secret(certificate: &str, key: &str, ca: &str) -> SecretData {
    [("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
}

/// As cert-manager's SelfSigned issuer makes it: its own authority.
fn self_signed() -> SecretData {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a leaf");
    secret(&made.cert.pem(), &made.signing_key.serialize_pem(), &made.cert.pem())
}

fn usable(data: &SecretData) -> Result<(), GivenError> {
    Given::parse(data, webhook_config)?.verify(NAME, now())
}

#[test]
fn what_cert_manager_keeps_is_taken() {
    assert_eq!(usable(&Other::new().issues(NAME)), Ok(()), "by a CA");
    assert_eq!(usable(&self_signed()), Ok(()), "by itself");
    // With the certificate of the CA after its own, as some issuers do.
    let other = Other::new();
    let mut chained = other.issues(NAME);
    chained.entry("tls.crt".to_owned()).or_default().extend(other.ca.as_bytes());
    assert_eq!(usable(&chained), Ok(()), "with a chain");
}

#[test]
fn what_cannot_be_served_is_refused_by_the_name_of_the_key() {
    let good = Other::new().issues(NAME);
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        let mut data = good.clone();
        data.insert(key.to_owned(), b"junk".to_vec());
        let error = usable(&data).expect_err("junk").to_string();
        assert!(error.starts_with(&format!("key {key} is not PEM")), "{error}");
        // Issuers that do not know their authority leave it empty or out.
        for (what, value) in [("empty", Some(Vec::new())), ("left out", None)] {
            data.remove(key);
            data.extend(value.map(|value| (key.to_owned(), value)));
            assert_eq!(usable(&data), Err(GivenError::Missing { key }), "{what}");
        }
    }
    let mut mixed = good.clone();
    mixed.insert("tls.key".to_owned(), self_signed()["tls.key"].clone());
    assert!(matches!(usable(&mixed), Err(GivenError::NotServed(_))), "another certificate's key");
    let mut strange = good;
    strange.insert("ca.crt".to_owned(), Other::new().ca.into_bytes());
    for (what, data) in [("another CA", strange), ("another name", Other::new().issues("other.svc"))] {
        let error = usable(&data).expect_err(what);
        assert!(matches!(error, GivenError::NotVerified { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains(NAME), "{what}: {error}");
    }
}

#[test]
fn one_that_has_ended_is_not_served() {
    let authorities = Authorities::create(now()).expect("authorities");
    let mut certificates = Certificates::issue(authorities, &SERVICES, now()).expect("leaves");
    certificates.offer(Some(&Other::new().issues(NAME)), now()).expect("good");
    let served = |certificates: &mut Certificates, moment| {
        certificates.choose(true, at(moment));
        certificates.webhook.instead.is_some()
    };
    assert!(served(&mut certificates, "2026-12-31T23:00:00Z"));
    assert!(!served(&mut certificates, "2027-01-01T00:00:01Z"), "nobody has renewed it");
    let late = certificates.offer(Some(&Other::new().issues(NAME)), at("2027-02-01T00:00:00Z"));
    assert!(matches!(late, Err(GivenError::NotVerified { .. })), "{late:?}");
}

async fn replica() -> Replica {
    let store = Store::with(&Authorities::create(now()).expect("authorities"));
    Replica::start(&store, leads()).await
}

/// Somebody puts a Secret there, and the API server is told what follows from it for long enough.
async fn give(replica: &Replica, data: &SecretData) {
    replica.given.send_replace(Some(data.clone()));
    settle().await;
    replica.told.send_replace(Some(replica.trusts().webhook_bundle));
    tokio::time::sleep(Duration::from_mins(7)).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_served_once_the_api_server_has_long_been_told_of_it() {
    let replica = replica().await;
    let (own, other) = (replica.trusts().webhook_bundle, Other::new());
    replica.told.send_replace(Some(own.clone()));
    replica.given.send_replace(Some(other.issues(NAME)));
    settle().await;
    let both = replica.trusts().webhook_bundle;
    assert_eq!(both, format!("{own}{}\n", other.ca.trim_end()), "the API server is told of both");
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(replica.webhook_verified_by(&own), "it has not been told");
    replica.told.send_replace(Some(both.clone()));
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert!(replica.webhook_verified_by(&own), "not all API servers may have it");
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert!(replica.webhook_verified_by(&other.ca) && replica.webhook_verified_by(&both));
    assert!(!replica.webhook_verified_by(&own), "it is the one that was given");

    // Somebody writes over the caBundle.
    replica.told.send_replace(None);
    settle().await;
    assert!(replica.webhook_verified_by(&own), "and what was there first is the operator's own");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_one_is_served_and_no_call_is_refused_meanwhile() {
    let replica = replica().await;
    let first = Other::new();
    give(&replica, &first.issues(NAME)).await;
    assert!(replica.webhook_verified_by(&first.ca));
    let before = replica.webhook.load_full();
    replica.given.send_replace(Some(first.issues(NAME)));
    settle().await;
    assert!(replica.webhook_verified_by(&first.ca), "of the same authority");
    assert!(!Arc::ptr_eq(&before, &replica.webhook.load_full()), "the new one, at once");

    // Another authority: the API server knows the one before and the operator's own.
    let known = replica.trusts().webhook_bundle;
    let second = Other::new();
    replica.given.send_replace(Some(second.issues(NAME)));
    settle().await;
    let told = replica.trusts().webhook_bundle;
    for bundle in [&known, &told] {
        assert!(replica.webhook_verified_by(bundle), "whichever an API server has heard of");
    }
    give(&replica, &second.issues(NAME)).await;
    assert!(replica.webhook_verified_by(&second.ca) && replica.webhook_verified_by(&told));
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_changes_nothing_and_what_is_gone_is_not_served() {
    let replica = replica().await;
    let (own, other) = (replica.trusts().webhook_bundle, Other::new());
    give(&replica, &other.issues(NAME)).await;
    let mut damaged = other.issues(NAME);
    damaged.remove("tls.key");
    give(&replica, &damaged).await;
    assert!(replica.webhook_verified_by(&other.ca), "what was in use stays in use");
    replica.given.send_replace(None);
    settle().await;
    assert!(replica.webhook_verified_by(&own), "the operator's own");
    assert_eq!(replica.trusts().webhook_bundle, own);
}
