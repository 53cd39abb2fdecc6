//! What a Lease says, as far as leading depends on it.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use peerwalk_controller::Leader;

use super::decide::LEASE;

/// The annotation with the address of the holder's hub.
pub const HUB: &str = "peerwalk.dev/hub";
/// However long a record says that it lasts, it is waited for no longer.
const LONGEST: Duration = Duration::from_mins(1);

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it: name and uid of a pod; empty when it was released.
    pub holder: String,
    /// When it was renewed, as its holder wrote it: compared with itself only, to see that it changed.
    pub renewed: Option<String>,
    /// How long it lasts from its last change.
    pub lasts: Duration,
    /// Where the holder's hub takes sidecars.
    pub hub: Option<SocketAddr>,
}

impl Default for Record {
    fn default() -> Self {
        Self { holder: String::new(), renewed: None, lasts: LEASE, hub: None }
    }
}

impl Record {
    /// What an object says. A time that is missing or out of bounds is ours.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let hub = lease.metadata.annotations.as_ref().and_then(|all| all.get(HUB)?.parse().ok());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            renewed: spec.renew_time.map(|MicroTime(at)| at.to_string()),
            lasts: seconds.map_or(LEASE, |s| Duration::from_secs(s).clamp(LEASE, LONGEST)),
            hub,
        }
    }

    /// The holder as others name it.
    pub fn leader(&self) -> Leader {
        let name = self.holder.split_once('_').map_or(self.holder.as_str(), |(name, _)| name);
        Leader { name: name.to_owned(), hub: self.hub }
    }
}

/// The Lease with us as its holder, to take the place of the one that was read.
pub fn held(before: Option<&Lease>, name: &str, me: &str, hub: SocketAddr, now: Timestamp) -> Lease {
    let old = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let same = old.holder_identity.as_deref() == Some(me);
    let transitions = match (before, same) {
        (None, _) => 0,
        (_, true) => old.lease_transitions.unwrap_or(0),
        (_, false) => old.lease_transitions.unwrap_or(0).saturating_add(1),
    };
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: old.acquire_time.filter(|_| same).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..old
    };
    let mut metadata = before.map_or_else(|| new_metadata(name), |lease| lease.metadata.clone());
    metadata.annotations.get_or_insert_default().insert(HUB.to_owned(), hub.to_string());
    Lease { metadata, spec: Some(spec) }
}

/// The Lease as nobody's, so that another need not wait.
pub fn released(before: &Lease, now: Timestamp) -> Lease {
    let mut lease = before.clone();
    if let Some(annotations) = &mut lease.metadata.annotations {
        annotations.remove(HUB);
    }
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(String::new());
    spec.renew_time = Some(MicroTime(now));
    lease
}

fn new_metadata(name: &str) -> ObjectMeta {
    let labels =
        [("app.kubernetes.io/part-of", "peerwalk"), ("app.kubernetes.io/managed-by", "peerwalk-operator")];
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn hub() -> SocketAddr {
        "[fd00::7]:9443".parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let first = held(None, "peerwalk", "peerwalk-1_u-1", hub(), at(100));
        let record = Record::of(&first);
        assert_eq!((record.holder.as_str(), record.lasts), ("peerwalk-1_u-1", LEASE));
        assert_eq!(record.leader(), Leader { name: "peerwalk-1".into(), hub: Some(hub()) });
        let renewed = held(Some(&first), "peerwalk", "peerwalk-1_u-1", hub(), at(105));
        assert_ne!(Record::of(&renewed), record, "a renewal is a change");
        let taken = held(Some(&renewed), "peerwalk", "peerwalk-2_u-2", hub(), at(130));
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        let told = [&first, &renewed, &taken]
            .map(|lease| (spec(lease).acquire_time.unwrap().0, spec(lease).lease_transitions.unwrap()));
        assert_eq!(told, [(at(100), 0), (at(100), 0), (at(130), 1)], "since when, and the how manieth");
    }

    #[test]
    fn what_is_released_is_nobodys_and_leads_nowhere() {
        let lease = released(&held(None, "peerwalk", "me", hub(), at(100)), at(101));
        let record = Record::of(&lease);
        assert_eq!((record.holder.as_str(), record.hub), ("", None));
        let again = held(Some(&lease), "peerwalk", "other", hub(), at(102));
        assert_eq!(again.spec.unwrap().lease_transitions, Some(1));
    }

    #[test]
    fn what_others_write_is_kept_within_bounds() {
        for (seconds, lasts) in [(None, 15), (Some(-1), 15), (Some(3), 15), (Some(30), 30), (Some(9999), 60)]
        {
            let mut lease = held(None, "peerwalk", "me", hub(), at(100));
            lease.spec.as_mut().unwrap().lease_duration_seconds = seconds;
            assert_eq!(Record::of(&lease).lasts, Duration::from_secs(lasts), "{seconds:?}");
        }
        let mut lease = held(None, "peerwalk", "me", hub(), at(100));
        lease.metadata.annotations = Some([(HUB.to_owned(), "nowhere".to_owned())].into());
        assert_eq!(Record::of(&lease).hub, None, "no address");
        assert_eq!(Record::of(&Lease::default()), Record::default());
    }
}
