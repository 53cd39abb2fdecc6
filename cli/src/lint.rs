//! What is wrong with policies although they can be read: they do nothing, or not what they seem to.

mod ask;
mod blocks;
mod cover;
mod dns;
mod hub;
mod pods;
mod ports;
mod rules;
mod select;
mod shadow;

use std::fmt;

use peerwalk_manifests::{Cluster, Effect};
use peerwalk_netpol::PolicyRef;
use serde::Serialize;

use pods::Pods;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub code: Code,
    /// The object, as `NetworkPolicy shop/web`.
    pub object: String,
    /// Where it came from: a file, with its line where there are several objects in it.
    pub source: String,
    /// Path of the field; may be empty.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The API server refuses it.
    Error,
    /// It does not do what it says, or what is hardly wanted.
    Warning,
    /// It may be meant so.
    Note,
}

/// Sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The object cannot be read.
    Unreadable,
    /// A policy of a data plane's own kind, or what is no policy but makes some.
    NotRead,
    /// Another object of this kind has its name.
    GivenTwice,
    /// A rule has a field that is not known, and fails closed.
    UnknownField,
    /// A policy selects no pod.
    SelectsNothing,
    /// An item of `from` or `to` stands for nobody.
    PeerMatchesNothing,
    /// No pod that the rule is about has a port of this name.
    NamedPortWithoutOwner,
    /// An `ipBlock` holds addresses of pods, which not every data plane applies it to.
    BlockOverPods,
    /// A block holds only the address of a Service, which policies do not see.
    BlockOfService,
    /// A rule that an earlier one leaves nothing to.
    Shadowed,
    /// Two policies of one priority apply to one pod: which is asked first is not defined.
    EqualPriority,
    /// Pods may connect to something, but not ask for its name.
    NoDns,
    /// Sidecars cannot reach the hub.
    CutsOffHub,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Unreadable,
        Self::NotRead,
        Self::GivenTwice,
        Self::UnknownField,
        Self::SelectsNothing,
        Self::PeerMatchesNothing,
        Self::NamedPortWithoutOwner,
        Self::BlockOverPods,
        Self::BlockOfService,
        Self::Shadowed,
        Self::EqualPriority,
        Self::NoDns,
        Self::CutsOffHub,
    ];

    /// Its name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NotRead => "not-read",
            Self::GivenTwice => "given-twice",
            Self::UnknownField => "unknown-field",
            Self::SelectsNothing => "selects-nothing",
            Self::PeerMatchesNothing => "peer-matches-nothing",
            Self::NamedPortWithoutOwner => "named-port-without-owner",
            Self::BlockOverPods => "block-over-pods",
            Self::BlockOfService => "block-of-service",
            Self::Shadowed => "shadowed",
            Self::EqualPriority => "equal-priority",
            Self::NoDns => "no-dns",
            Self::CutsOffHub => "cuts-off-hub",
        }
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Unreadable => "The object cannot be read, so it does nothing.",
            Self::NotRead => {
                "The object may decide connections and is not read here: answers that it may change are undecided."
            }
            Self::GivenTwice => "Of several objects of one kind and name the last counts.",
            Self::UnknownField => "A rule has a field that is not known, so it fails closed.",
            Self::SelectsNothing => "The policy selects no pod, so it does nothing.",
            Self::PeerMatchesNothing => "An item of from or to selects nobody, so it does nothing.",
            Self::NamedPortWithoutOwner => {
                "No destination of the rule has a port of this name, so the item matches nothing."
            }
            Self::BlockOverPods => {
                "The block holds addresses of pods. Data planes differ in whether blocks apply to pods."
            }
            Self::BlockOfService => {
                "The block holds the address of a Service. Policies see the pods behind it instead."
            }
            Self::Shadowed => "Earlier rules decide everything that this one is about.",
            Self::EqualPriority => "Which of two policies of one priority is asked first is not defined.",
            Self::NoDns => "The pods may connect somewhere, but not ask DNS for its address.",
            Self::CutsOffHub => {
                "The sidecars of Peerwalk cannot reach its hub, so their checks say NotReporting."
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything that is wrong, the worst first.
pub fn findings(cluster: &Cluster) -> Vec<Finding> {
    let pods = Pods::new(cluster);
    let mut found = Findings { cluster, all: unreadable(cluster) };
    select::check(&mut found, &pods);
    rules::check(&mut found);
    ports::check(&mut found, &pods);
    blocks::check(&mut found, &pods);
    shadow::check(&mut found, &pods);
    dns::check(&mut found, &pods);
    hub::check(&mut found);
    let mut all = found.all;
    all.sort();
    all.dedup();
    all
}

/// What is no policy, and makes what could be some.
const KUSTOMIZATION: &str = "Kustomization ";

fn unreadable(cluster: &Cluster) -> Vec<Finding> {
    let problems = cluster.problems.iter().map(|problem| {
        let (reason, object) = (&problem.reason, problem.object.as_deref().unwrap_or_default());
        let (message, remedy) = reason.split_once("; ").unwrap_or((reason, "correct it"));
        let (severity, code, message, remedy) = match problem.effect {
            Effect::Refused => (Severity::Error, Code::Unreadable, message, remedy),
            Effect::NotEvaluated if object.starts_with(KUSTOMIZATION) => {
                (Severity::Warning, Code::NotRead, message, remedy)
            }
            // Its data plane knows it, and nothing is wrong with it.
            Effect::NotEvaluated => {
                let message = "a policy of one data plane's own kind, which is not read here: while it is there, answers that \
                               it may change are undecided, and findings hold as far as it says nothing else";
                (Severity::Note, Code::NotRead, message, "look at what it says; nothing is to be corrected")
            }
            Effect::Counts => (Severity::Warning, Code::GivenTwice, message, remedy),
            // It may be another file of the folder.
            Effect::Other => (Severity::Note, Code::Unreadable, message, remedy),
        };
        Finding {
            severity,
            code,
            object: object.to_owned(),
            source: problem.source.clone(),
            field: problem.field.clone(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        }
    });
    problems.collect()
}

/// What was found so far.
struct Findings<'a> {
    cluster: &'a Cluster,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        (of, field): (&PolicyRef, impl Into<String>),
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.all.push(Finding {
            severity,
            code,
            object: of.to_string(),
            source: self.cluster.origins.get(of).cloned().unwrap_or_default(),
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}
