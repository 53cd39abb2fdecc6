//! What a NetworkPolicy can have wrong, and what to write instead.

use std::fmt;

/// Everything wrong with one policy, in the order of its fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LowerErrors(pub Vec<LowerError>);

impl fmt::Display for LowerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&errors.join("; "))
    }
}

/// One thing that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct LowerError {
    /// Path of the field, such as `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
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
}
