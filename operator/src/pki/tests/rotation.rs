//! Replacing authorities: when, in which order, and that every verifier accepts what is served at each step.

use super::*;

const DAY: u64 = 24;

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

fn authorities() -> Authorities {
    Authorities::create(now()).expect("authorities")
}

fn copy(of: &Authorities) -> Authorities {
    Authorities::from_data(&of.to_data()).expect("authorities")
}

fn set(roots: &[&Authority]) -> BTreeSet<String> {
    roots.iter().map(|root| root.fingerprint().to_owned()).collect()
}

/// Nothing is asked for, nothing is known, and everything is an hour old.
fn situation(now: Timestamp) -> Situation<'static> {
    Situation { asked: Asked::default(), carried: None, settled: hours(1), told: None, now }
}

const HUB_ROOT: Asked = Asked { hub_root: true, webhook_ca: false };
const WEBHOOK_CA: Asked = Asked { hub_root: false, webhook_ca: true };

#[test]
fn pods_of_every_root_verify_the_hub_while_it_is_replaced_again_and_again() {
    let mut authorities = authorities();
    let stranger = root();
    let mut injected: Vec<String> = Vec::new();
    let mut at = now();
    for rotation in 0..4 {
        injected.push(authorities.hub_root.certificate_pem().to_owned());
        let leaf = authorities.hub_root.issue(&names(), at).expect("a leaf");
        let between: Vec<_> = authorities
            .old_hub_roots
            .iter()
            .map(|old| old.vouch(&authorities.hub_root, at).expect("vouched for"))
            .collect();
        assert_eq!(between.len(), rotation, "one certificate for each old root");
        for (number, pem) in injected.iter().enumerate() {
            // A pod has the certificate alone.
            let key = root().key_pem();
            assert!(Authority::parse(pem, &key).is_err(), "keys are not shared");
            let mut trusted = RootCertStore::empty();
            trusted.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("an anchor");
            assert_eq!(by(&trusted, &leaf, &between, at), Ok(()), "root {number} after {rotation} rotations");
            if number < rotation {
                assert!(by(&trusted, &leaf, &[], at).is_err(), "root {number} needs the old one's word");
            }
        }
        assert!(verified_with(&stranger, &leaf, &between, HUB, at).is_err(), "another root of the same name");
        Step::NewHubRoot.apply(&mut authorities, at).expect("a new root");
        at = after(at, hours(DAY));
    }
}

/// What a client with these roots says of the hub.
fn by(
    trusted: &RootCertStore,
    leaf: &Leaf,
    between: &[CertificateDer<'_>],
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted.clone()), provider)
        .build()
        .expect("a verifier");
    let name = ServerName::try_from(HUB).expect("a name");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs()));
    verifier.verify_server_cert(leaf.certificate(), between, &name, &[], at).map(|_| ())
}

#[test]
fn the_word_of_an_old_root_ends_with_it() {
    let (old, new) = (root(), Authority::create("Peerwalk hub root", days_later(3000)).expect("a root"));
    let between = [old.vouch(&new, days_later(3000)).expect("vouched for")];
    let leaf = new.issue(&names(), days_later(3640)).expect("a leaf");
    let last = before(old.not_after(), Duration::from_secs(1));
    assert_eq!(verified_with(&old, &leaf, &between, HUB, last), Ok(()));
    assert!(verified_with(&old, &leaf, &between, HUB, after(old.not_after(), hours(1))).is_err());
    assert!(matches!(old.vouch(&new, old.not_after()), Err(PkiError::Expired { .. })));
}

#[test]
fn the_hubs_root_is_replaced_in_time_on_demand_and_forgotten_when_no_pod_has_it() {
    let fresh = authorities();
    let mut rotated = copy(&fresh);
    Step::NewHubRoot.apply(&mut rotated, now()).expect("a new root");
    let old = rotated.old_hub_roots[0].fingerprint().to_owned();
    assert_eq!(old, fresh.hub_root.fingerprint(), "the one that was in use");
    assert_ne!(old, rotated.hub_root.fingerprint());
    let mut often = copy(&rotated);
    for _ in 0..3 {
        Step::NewHubRoot.apply(&mut often, now()).expect("a new root");
    }
    let (carried, left) = (set(&[&fresh.hub_root, &rotated.hub_root]), set(&[&rotated.hub_root]));
    let all = often.hub_fingerprints();
    let asked = |carried, settled| Situation { carried: Some(carried), settled, ..situation(now()) };
    let dropped = Some(Step::DropHubRoot(old));
    for (case, authorities, situation, expected) in [
        ("young", &fresh, situation(days_later(3650 - 366)), None),
        ("a year before its end", &fresh, situation(days_later(3650 - 365)), Some(Step::NewHubRoot)),
        (
            "asked for",
            &fresh,
            Situation { asked: HUB_ROOT, settled: Duration::ZERO, ..situation(now()) },
            Some(Step::NewHubRoot),
        ),
        ("a pod has it", &rotated, asked(&carried, hours(1)), None),
        ("nobody knows which pods there are", &rotated, situation(now()), None),
        ("no pod has it", &rotated, asked(&left, hours(1)), dropped),
        ("no pod has it, for now", &rotated, asked(&left, Duration::from_secs(3599)), None),
        (
            "the clock went back",
            &rotated,
            Situation { now: before(now(), hours(1)), ..asked(&carried, hours(1)) },
            None,
        ),
        ("asked for too often", &often, Situation { asked: HUB_ROOT, ..asked(&all, hours(1)) }, None),
        (
            "asked for often, and at its end",
            &often,
            Situation { now: days_later(3649), ..asked(&all, hours(1)) },
            Some(Step::NewHubRoot),
        ),
    ] {
        assert_eq!(step(authorities, &situation), expected, "{case}");
    }
}

#[test]
fn the_webhooks_ca_is_told_before_it_signs_and_the_old_one_goes_last() {
    let minutes = Duration::from_mins;
    let fresh = authorities();
    let after_step = |authorities: &Authorities, step: Step| {
        let mut authorities = copy(authorities);
        step.apply(&mut authorities, now()).expect("applied");
        copy(&authorities)
    };
    let told = after_step(&fresh, Step::NewWebhookCa);
    let used = after_step(&told, Step::UseWebhookCa);
    let over = after_step(&used, Step::DropWebhookCa);
    for (case, authorities, situation, expected) in [
        ("young", &fresh, situation(now()), None),
        ("a year before its end", &over, situation(days_later(3650 - 365)), None),
        ("asked for", &fresh, Situation { asked: WEBHOOK_CA, ..situation(now()) }, Some(Step::NewWebhookCa)),
        ("not told", &told, situation(now()), None),
        ("just told", &told, Situation { told: Some(minutes(4)), ..situation(now()) }, None),
        ("told", &told, Situation { told: Some(minutes(5)), ..situation(now()) }, Some(Step::UseWebhookCa)),
        ("just used", &used, Situation { settled: minutes(59), ..situation(now()) }, None),
        ("used by all", &used, situation(now()), Some(Step::DropWebhookCa)),
        (
            "one at a time",
            &used,
            Situation { asked: WEBHOOK_CA, settled: minutes(1), ..situation(now()) },
            None,
        ),
        ("over", &over, Situation { asked: WEBHOOK_CA, ..situation(now()) }, Some(Step::NewWebhookCa)),
    ] {
        // Hub roots are due at the same time; they are another table's.
        let expected_here = webhook_only(authorities, &situation);
        match case {
            "a year before its end" => assert_eq!(expected_here, Some(Step::NewWebhookCa), "{case}"),
            _ => assert_eq!(expected_here, expected, "{case}"),
        }
    }

    // At each step the API server accepts what is served, before and after it hears of the step.
    let steps = [&fresh, &told, &used, &over];
    for (before, after) in steps.iter().zip(&steps[1..]) {
        let leaf = after.webhook_ca.issue(&names(), now()).expect("a leaf");
        for bundle in [before.webhook_bundle(), after.webhook_bundle()] {
            let mut trusted = RootCertStore::empty();
            for der in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
                trusted.add(der.expect("PEM")).expect("an anchor");
            }
            assert_eq!(by(&trusted, &leaf, &[], now()), Ok(()));
        }
        let earlier = before.webhook_ca.issue(&names(), now()).expect("a leaf of a replica that lags");
        let mut trusted = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(after.webhook_bundle().as_bytes()) {
            trusted.add(der.expect("PEM")).expect("an anchor");
        }
        assert_eq!(by(&trusted, &earlier, &[], now()), Ok(()));
    }
    assert_ne!(fresh.webhook_ca.fingerprint(), over.webhook_ca.fingerprint());
    assert_eq!(over.to_data().len(), 4, "nothing is left of the old one");
}

/// The next step but for the hub's root.
fn webhook_only(authorities: &Authorities, situation: &Situation<'_>) -> Option<Step> {
    let mut authorities = copy(authorities);
    authorities.hub_root = Authority::create("root", situation.now).expect("a root that is young");
    step(&authorities, situation)
}

#[test]
fn a_secret_holds_what_rotates_and_nothing_damaged_is_taken() {
    let mut authorities = authorities();
    for step in
        [Step::NewHubRoot, Step::NewHubRoot, Step::NewWebhookCa, Step::UseWebhookCa, Step::NewWebhookCa]
    {
        step.apply(&mut authorities, now()).expect("applied");
    }
    let whole = authorities.to_data();
    assert_eq!(whole.len(), 4 + 2 * 2 + 2 + 1, "{:?}", whole.keys());
    let read = Authorities::from_data(&whole).expect("authorities");
    assert_eq!(read.to_data(), whole, "what is read is what was written");
    assert_eq!(read.hub_fingerprints().len(), 3);
    assert_eq!(CertificateDer::pem_slice_iter(read.webhook_bundle().as_bytes()).count(), 3);
    for key in whole.keys() {
        assert!(Authorities::owns(key), "{key} is ours");
        let mut data = whole.clone();
        data.insert(key.clone(), b"junk".to_vec());
        assert!(Authorities::from_data(&data).is_err(), "{key} is junk");
    }
    assert!(!Authorities::owns("tls.crt") && !Authorities::owns("hub-root.txt"), "others' keys are theirs");
}

#[test]
fn authorities_that_have_ended_are_replaced_and_others_are_not() {
    let mut authorities = authorities();
    let first = authorities.to_data();
    assert!(!revive(&mut authorities, days_later(3649)).expect("nothing to do"));
    assert_eq!(authorities.to_data(), first);
    assert!(revive(&mut authorities, days_later(3651)).expect("both had ended"));
    assert!(authorities.hub_root.issue(&names(), days_later(3651)).is_ok());
    assert!(authorities.webhook_ca.issue(&names(), days_later(3651)).is_ok());
}
