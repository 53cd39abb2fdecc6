//! Which codes begin with the same sight. What tells them apart is the evidence each takes, which the catalogue has.

use peerwalk_model::Reason::{
    self, ConnectTimeout, ConnectionRefused, ConnectionReset, DnsDenied, DnsNameNotFound, DnsNoData,
    DnsRefused, DnsServerFailure, DnsTimeout, DnsTruncatedNoTcp, Dropped, Filtered, HostUnreachable,
    HttpStatus, InterceptedLocally, NetworkUnreachable, NoEndpoints, NoLocalEndpoints, NoResponse,
    NoSourcePods, NotInjected, NotProven, NotReporting, PartialLoss, PolicyDenied, PolicyNotEnforced,
    PolicyProgramming, Probing, ProxyMisrouted, ProxyUnreachable, ResultsStale, RoutingLoop,
    ServiceNotProgrammed, ServicePortNotFound, TargetNotFound, TlsHandshakeFailed, TlsUntrustedIssuer,
    UnexpectedlyReachable,
};

/// What is seen first, and the codes that it can turn out to be.
pub(super) const SIMILAR: &[(&str, &[Reason])] = &[
    (
        "No server gives an address",
        &[DnsNameNotFound, DnsNoData, DnsServerFailure, DnsRefused, DnsTimeout, DnsDenied, DnsTruncatedNoTcp],
    ),
    ("The way through a proxy fails", &[ProxyMisrouted, ProxyUnreachable]),
    (
        "A connection attempt gets no answer",
        &[PolicyDenied, Dropped, ConnectTimeout, PartialLoss, NoLocalEndpoints, ServiceNotProgrammed],
    ),
    (
        "A connection attempt is answered by an ICMP error",
        &[PolicyDenied, Filtered, NoEndpoints, HostUnreachable, NetworkUnreachable, RoutingLoop],
    ),
    (
        "A connection attempt is answered by a TCP RST",
        &[ConnectionRefused, PolicyDenied, NoEndpoints, ServiceNotProgrammed],
    ),
    (
        "What policies say and what is seen differ",
        &[PolicyNotEnforced, PolicyProgramming, Filtered, Dropped, InterceptedLocally],
    ),
    ("A denial was expected", &[PolicyDenied, NotProven, UnexpectedlyReachable, PolicyNotEnforced]),
    (
        "The connection is made and no good answer comes",
        &[ConnectionReset, NoResponse, HttpStatus, TlsHandshakeFailed, InterceptedLocally],
    ),
    ("The TLS handshake fails", &[TlsUntrustedIssuer, TlsHandshakeFailed]),
    ("There is nothing to connect to", &[TargetNotFound, ServicePortNotFound, NoEndpoints]),
    ("There is no fresh walk", &[NoSourcePods, NotInjected, NotReporting, ResultsStale, Probing]),
];
