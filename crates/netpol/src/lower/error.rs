//! What a policy can have wrong, and what to write instead.

use std::fmt;

/// Everything wrong with one policy, in the order of its fields, up to a hundred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LowerErrors(pub Vec<LowerError>);

impl fmt::Display for LowerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&errors.join("; "))
    }
}

/// One thing that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerError {
    /// Path of the field, such as `spec.ingress[0].from[1].ipBlock.cidr`; empty for the object itself.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl std::error::Error for LowerError {}

impl fmt::Display for LowerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}", self.problem)
        } else {
            write!(f, "{}: {}", self.field, self.problem)
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The object has no name.
    #[error("missing; give the policy a name")]
    NameMissing,
    /// Not a direction.
    #[error("{0:?} is not a policy type; use Ingress or Egress")]
    PolicyType(String),
    /// An item of `from` or `to` without any field that is known.
    #[error(
        "names no peer; set podSelector, namespaceSelector or ipBlock, or remove the item to admit everyone"
    )]
    PeerEmpty,
    /// `ipBlock` beside a selector.
    #[error("ipBlock and a selector exclude each other; make two items of them")]
    PeerAmbiguous,
    /// Not a network.
    #[error("{0:?} is not a network in CIDR notation; write it as 192.0.2.0/24 or 2001:db8::/64")]
    Cidr(String),
    /// An exception that is no part of its block, or all of it.
    #[error("{except} is no strict part of {cidr}; use a smaller network within it, or remove it")]
    ExceptOutside {
        /// The exception.
        except: String,
        /// The block.
        cidr: String,
    },
    /// Not a protocol of NetworkPolicy.
    #[error("{0:?} is not a protocol; use TCP, UDP or SCTP")]
    Protocol(String),
    /// A number that is no port.
    #[error("{0} is not a port; use a number from 1 to 65535")]
    PortNumber(i32),
    /// A name that no port can have (RFC 6335 section 5.1, as Kubernetes applies it).
    #[error(
        "{0:?} is not a port name; use a number, or at most 15 lower-case letters, digits and single hyphens \
         with at least one letter"
    )]
    PortName(String),
    /// `endPort` without `port`.
    #[error("needs a port to begin at; set port to the first number of the range")]
    EndPortAlone,
    /// `endPort` beside a named port.
    #[error("cannot end a range that begins at the named port {0:?}; set port to a number")]
    EndPortAfterName(String),
    /// `endPort` below `port`.
    #[error("{end} is below port {start}; use a number from {start} to 65535")]
    EndPortBelow {
        /// `port`.
        start: u16,
        /// `endPort`.
        end: i32,
    },
    /// Not an operator of label selectors.
    #[error("{0:?} is not an operator; use In, NotIn, Exists or DoesNotExist")]
    Operator(String),
    /// `In` or `NotIn` without values.
    #[error("{0} needs values; list at least one, or use Exists or DoesNotExist")]
    ValuesMissing(String),
    /// `Exists` or `DoesNotExist` with values.
    #[error("{0} takes no values; remove them, or use In or NotIn")]
    ValuesForbidden(String),
    /// A requirement without key.
    #[error("missing; name the label")]
    KeyMissing,
    /// A field that every policy of the kind has.
    #[error("missing; {0}")]
    Missing(&'static str),
    /// A value of another type.
    #[error("is {given}; write {wanted}")]
    Type {
        /// What is there.
        given: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A field that the kind does not have: what it means is not known.
    #[error("unknown field; correct its name, or remove it")]
    UnknownField,
    /// An object of which exactly one field must be set.
    #[error("sets {given} fields; set exactly one of {fields}")]
    OneOf {
        /// How many are set.
        given: usize,
        /// Those that there are.
        fields: &'static str,
    },
    /// Not one of a few words.
    #[error("{given:?} is none of its values; use {words}")]
    Word {
        /// What is there.
        given: String,
        /// Those that there are.
        words: &'static str,
    },
    /// A list without items.
    #[error("is empty; list at least one item{0}")]
    Empty(&'static str),
    /// A list that is too long.
    #[error("has {given} items; list at most {most}")]
    TooMany {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// The same item twice in a list that is a set.
    #[error("{0:?} is listed twice; remove one of them")]
    Twice(String),
    /// A number that is not in its range.
    #[error("{given} is outside its range; use a number from {low} to {high}")]
    Range {
        /// What is there.
        given: String,
        /// The lowest.
        low: u16,
        /// The highest.
        high: u16,
    },
    /// A name of a rule that is too long.
    #[error("has {0} characters; use at most 100")]
    RuleNameLength(usize),
    /// A BaselineAdminNetworkPolicy of another name.
    #[error("{0:?} is refused; the only BaselineAdminNetworkPolicy is called default")]
    NotDefault(String),
    /// Not a domain name.
    #[error("{0:?} is not a domain name; write it as example.com or *.example.com")]
    DomainName(String),
    /// A named port beside peers that have none.
    #[error("networks, nodes and domainNames have no named ports; list numbers, or make two rules")]
    NamedPortOfNoPod,
    /// A range of ports that does not end after its start.
    #[error("{end} is not above start {start}; use a higher number, or a single port")]
    RangeEnd {
        /// `start`.
        start: u16,
        /// `end`.
        end: u16,
    },
}
