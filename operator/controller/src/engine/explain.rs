//! The explained walks of a check, for people, and what they were judged by, for whoever judges without us.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use peerwalk_diagnosis::Known;
use peerwalk_model::plan::{PlannedTarget, TargetKind};
use peerwalk_model::{PodRef, TargetKey, Timestamp, Verdict};
use serde::Serialize;

use super::Engine;
use super::facts::Pair;
use crate::cluster::record::ObjectKey;

/// How a check is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Walks that a person can read.
    #[default]
    Text,
    /// What is known, as `docs/decision.md` has it.
    Json,
}

/// What is known of a check, and what was said of its walks.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    known: Known,
    walks: Vec<WalkSaid<'a>>,
}

/// What was said of a pair.
#[derive(Serialize)]
struct WalkSaid<'a> {
    source: String,
    target: &'a str,
    aim: String,
    verdict: &'a Verdict,
}

impl Engine {
    /// A check explained; `None` when there is no such check.
    pub fn explain(&self, check: &ObjectKey, form: Form, now: Timestamp) -> Option<String> {
        match form {
            Form::Text => self.explain_walks(check),
            Form::Json => self.explain_known(check, now),
        }
    }

    /// Every pair of a check as a walk that a person can read.
    fn explain_walks(&self, check: &ObjectKey) -> Option<String> {
        let state = self.checks.get(check)?;
        let mut text = String::new();
        let pairs = state.pairs.iter().flat_map(|(pod, pairs)| pairs.iter().map(move |pair| (pod, pair)));
        for (pod, (target, pair)) in pairs {
            let key = TargetKey { check: check.name.clone(), target: target.clone() };
            let aim = self.aim(check, pod, &key)?;
            let walk = self.evidence_of(pod, &key).map(|evidence| evidence.walk_of(pair.counted.0));
            let _ = writeln!(
                text,
                "{}",
                peerwalk_diagnosis::explain(&pod.to_string(), &aim, &pair.verdict, walk)
            );
        }
        if text.is_empty() {
            text.push_str("no pod has been asked to walk yet\n");
        }
        Some(text)
    }

    /// What every pair of a check is judged by.
    fn explain_known(&self, key: &ObjectKey, now: Timestamp) -> Option<String> {
        let (state, check) = (self.checks.get(key)?, self.index.check(key)?);
        let mut known = Known { check: Some(key.to_string()), ..Known::default() };
        known.unreadable_policy_kinds = self.unreadable_policy_kinds();
        let mut walks = Vec::new();
        for (pod, pairs) in &state.pairs {
            let Some(source) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)) else { continue };
            for ((target, resolved), asked) in check.spec.targets.iter().zip(&state.targets).zip(&state.asked)
            {
                let target_key = TargetKey { check: key.name.clone(), target: target.name.clone() };
                let pair = Pair {
                    source,
                    key: &target_key,
                    resolved,
                    asked: *asked,
                    evidence: self.evidence_of(pod, &target_key),
                    stale_after: check.spec.stale_after(),
                    now,
                };
                known.add(&self.facts(&pair, None), &self.decisions_of(&pair), now);
                let Some(said) = pairs.get(&target.name) else { continue };
                let aim = self.aim(key, pod, &target_key)?;
                walks.push(WalkSaid {
                    source: pod.to_string(),
                    target: &target.name,
                    aim,
                    verdict: &said.verdict,
                });
            }
        }
        known.pods = self.pods_near(&known);
        // Serializing plain values to memory does not fail.
        serde_json::to_string_pretty(&Explained { known, walks }).ok().map(|text| text + "\n")
    }

    /// Addresses of pods that could be taken for one of the nodes.
    fn pods_near(&self, known: &Known) -> BTreeSet<IpAddr> {
        let networks: Vec<_> = known.nodes.values().flat_map(|node| &node.pod_networks).collect();
        let near = |ip: &IpAddr| networks.iter().any(|network| network.contains(ip));
        let pods = self.index.pods().filter(|pod| !pod.host_network);
        pods.flat_map(|pod| &pod.ips).copied().filter(near).collect()
    }

    /// What a pair walks to, as people name it.
    fn aim(&self, check: &ObjectKey, pod: &PodRef, key: &TargetKey) -> Option<String> {
        let of_spec = self.index.check(check)?.spec.targets.iter().find(|target| target.name == key.target);
        let url = of_spec.and_then(|target| target.url.clone());
        Some(url.or_else(|| self.planned_aim(pod, key)).unwrap_or_else(|| key.target.clone()))
    }

    fn planned_aim(&self, pod: &PodRef, key: &TargetKey) -> Option<String> {
        let planned: &PlannedTarget = self.plans.get(pod)?.plan.targets.get(key)?;
        Some(match &planned.kind {
            TargetKind::Service(service) => format!("{}:{}", service.hostname, service.port),
            TargetKind::Url(url) => url.url.clone(),
            TargetKind::Dns(dns) => dns.name.clone(),
        })
    }
}
