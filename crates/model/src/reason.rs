//! The catalogue of reasons: every code that can appear in a status, with what it means, the evidence it
//! takes and what to do. Documents, metrics and the CRD's description are made from it.

use std::fmt;
use std::str::FromStr;

/// Which part of the answer a reason belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonStage {
    /// Name to addresses.
    Resolve,
    /// Direct or through a proxy.
    Route,
    /// TCP.
    Connect,
    /// The handshake.
    Tls,
    /// The exchange.
    Request,
    /// The prober's own trouble.
    Local,
    /// Something is missing: pods, sidecars, the target, proof.
    Coverage,
}

macro_rules! catalogue {
    ($($stage:ident { $($code:ident: $meaning:literal, $evidence:literal, $remedy:literal;)+ })+) => {
        /// A reason code, as it appears in conditions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum Reason {
            $($(#[doc = $meaning] $code,)+)+
        }

        impl Reason {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$($(Self::$code,)+)+];

            /// The code itself, such as `PolicyDenied`.
            pub const fn code(self) -> &'static str {
                match self { $($(Self::$code => stringify!($code),)+)+ }
            }

            /// The stage it belongs to.
            pub const fn stage(self) -> ReasonStage {
                match self { $($(Self::$code => ReasonStage::$stage,)+)+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $($(Self::$code => $meaning,)+)+ }
            }

            /// The evidence it takes.
            pub const fn evidence(self) -> &'static str {
                match self { $($(Self::$code => $evidence,)+)+ }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $($(Self::$code => $remedy,)+)+ }
            }
        }
    };
}

catalogue! {
    Resolve {
        DnsNameNotFound: "The name does not exist.",
            "NXDOMAIN for every name of the search list, from a server that answers.",
            "Check the spelling, the namespace in the name, and that the Service exists.";
        DnsNoData: "The name exists and has no address.",
            "An answer without records for both address types, for at least one name of the search list.",
            "A headless Service without ready endpoints answers like this: look at its pods.";
        DnsServerFailure: "A name server failed to answer (SERVFAIL, or the like).",
            "SERVFAIL, another response code of failure or an answer that cannot be read, from any server, and no answer from another.",
            "Look at the name server's logs and its upstream servers.";
        DnsRefused: "The name server refuses to answer (REFUSED).",
            "REFUSED from every server that answered.",
            "The server does not serve this zone or this client: check resolv.conf and the server's configuration.";
        DnsTimeout: "No name server answered.",
            "Silence, or a refusal that names no filter, from every server of resolv.conf, for every attempt, and no policy that denies the way.",
            "Check that the DNS pods are ready, and that no filter drops port 53 over UDP and TCP.";
        DnsSlow: "A name server answers, and not in time.",
            "Every question that matters was answered after its deadline, within the time that its socket stayed open; or the name took the whole time of the walk, so that what comes after it had none.",
            "Look at the load of the name servers and at their upstream servers; where answers take their time by nature, give the check longer timeouts.";
        DnsDenied: "The way to the name servers is denied.",
            "An ICMP prohibition or the pod's own kernel for every question, or no answer while policies deny every name server.",
            "Admit port 53 over UDP and TCP to the name servers; the explanation names the policy where one denies it.";
        DnsUnexpectedAddress: "The name of a Service leads to addresses that are not the Service's.",
            "Every address in the answer is neither the Service's own nor one of its endpoints'; confirmed when it is found again and the Service has not changed for a while.",
            "The explanation names what answered: another suffix of the search list has the name (write it out, with a final dot), a record is stale or overridden in the name server, or the pod's hosts file (hostAliases) has it.";
        DnsTruncatedNoTcp: "The answer is too long for UDP and does not come over TCP.",
            "A truncated answer over UDP, and silence or a refusal over TCP.",
            "Admit port 53 over TCP to the name servers as well.";
    }
    Route {
        ProxyMisrouted: "A proxy variable sends an in-cluster name to a proxy that cannot serve it.",
            "The variables of a container name a proxy for the target; the proxy accepts the connection and gives a failure or no answer, and directly the target answers; confirmed when the proxy itself refuses the tunnel.",
            "Add the entry that the message names to the container's NO_PROXY.";
        ProxyUnreachable: "The proxy that the variables name cannot be reached.",
            "Every dial of the proxy's addresses failed, or its name does not resolve.",
            "Check the proxy's address in the variable, that the proxy runs, and that a policy admits the way to it; add the entry that the message names to NO_PROXY where the target is in the cluster.";
    }
    Connect {
        PolicyDenied: "A NetworkPolicy denies the connection.",
            "A policy decision that denies, in force during the whole walk, and an observation that fits it; confirmed when everything else that looks the same is excluded.",
            "If the connection is wanted, add the rule that the explanation prints.";
        PolicyNotEnforced: "A NetworkPolicy denies the connection, and it works all the same.",
            "A policy decision that has denied for longer than the grace period, and a connection that reached the target; confirmed when only the target can have answered, walk after walk: its own sidecar holds the connection, or an HTTP status came behind a verified certificate.",
            "Check that the cluster's network plugin enforces NetworkPolicy and is healthy on both nodes.";
        UnexpectedlyReachable: "The target was expected to be denied, and it can be reached.",
            "A connection to the target came about, whatever came after it, and no policy that is in force denies it.",
            "Add the policy that is to deny it, or correct the one that was meant to; if the connection is wanted, set expect to Reachable.";
        PolicyProgramming: "A policy, label or address changed a moment ago; the data plane may not have it yet.",
            "What the walk saw contradicts a decision that is younger than the grace period.",
            "Wait a few seconds. If it stays, the network plugin is slow or stuck.";
        Filtered: "A packet filter refuses the connection, and no known policy explains it.",
            "An explicit ICMP refusal of the connection, or of data on it, while endpoints exist; confirmed when policies allow the connection for certain, walk after walk.",
            "Look for firewalls, security groups and policies of kinds that Peerwalk cannot read, near the address that the evidence names.";
        Dropped: "The target lives, and packets to it vanish.",
            "Silence, while the target is proven alive; or a handshake that was completed, and data after it that nobody acknowledges.",
            "Look for filters that drop, return paths, and connection tracking on the target's node.";
        PartialLoss: "Some connections come about, others get no answer.",
            "Some source ports connect, others stay silent also after a SYN was sent again, to one address in one walk.",
            "Look for one of several paths that is dead (a link of a bundle, a node of a load balancer), and for packet loss.";
        ConnectTimeout: "No answer, and nothing proves that the target lives.",
            "Silence, and no sign of life from the target.",
            "Check that the target's pods and nodes are healthy; the explanation says what would decide it.";
        ConnectionRefused: "The connection is refused.",
            "A TCP RST that cannot be attributed.",
            "Check that the target listens on that port on its pod address, not only on localhost.";
        NotListening: "Nothing listens on that port of the target's address.",
            "A TCP RST, and the word of the target's own sidecar that its kernel would lead a SYN for that address nowhere; confirmed when a later walk sees the same.",
            "Let the application listen on the pod's address, in the family that is dialled, and not on localhost alone; the explanation says where it listens instead.";
        NoEndpoints: "The Service has no ready endpoints.",
            "The Service exists and its EndpointSlices hold no ready address for the port.",
            "Check the Service's selector, and why its pods are not ready.";
        NoLocalEndpoints: "The Service has endpoints, but none on this node, and its traffic policy is Local.",
            "internalTrafficPolicy is Local, ready endpoints exist, none on the source's node, the service address does not answer, and no policy or filter explains that.",
            "Run an endpoint on every node, or set internalTrafficPolicy to Cluster.";
        EndpointNotReady: "An endpoint answers nothing, and its pod is not Ready.",
            "Silence of every endpoint that was dialled, while the pods behind them are not Ready and their nodes are well.",
            "Look at the pod's readiness probes and logs. A Service with publishNotReadyAddresses sends connections to such pods.";
        ServiceNotProgrammed: "The endpoints answer, the Service's own address does not.",
            "In the same walk every endpoint that was dialled connected and the service address did not; confirmed when every ready endpoint was dialled, walk after walk, nothing came back from behind the address, and a node or router said that it leads nowhere. Silence has other causes, behind the translation.",
            "Look at kube-proxy, or what replaces it, on the source's node; where its rules are right, at what becomes of the translated packets: filters, source NAT, and whether answers between pods of one bridge come by the node (net.bridge.bridge-nf-call-iptables).";
        ServicePortNotFound: "The Service has no such TCP port.",
            "The Service exists and none of its TCP ports has the name or number of the check. Ports of other protocols are not walked.",
            "Correct the port in the check, or add it to the Service.";
        HairpinFailed: "The source pod cannot reach itself through the Service.",
            "The only endpoint is the source pod, it answers when it is dialled as itself, and the service address is silent.",
            "Look at the hairpin setting of the network plugin (hairpin mode of the bridge port, masquerading of a pod's traffic to itself).";
        PartialBackends: "Some endpoints of the Service never answer.",
            "Endpoints that were dialled in the same walk: at least one is silent on many source ports or refuses, and another connects.",
            "Look at the pods behind the endpoints that the explanation names, and at the path to their nodes.";
        WrongBackend: "The Service's address leads to a pod that is no endpoint.",
            "The sidecar of a pod that is no endpoint, and was none in the last seconds, holds the other end of a connection to the service address; confirmed by its exact ends, for 25 s, with the mark of the dial or from two source ports, and no endpoint that holds the same.",
            "Look at kube-proxy, or what replaces it, on the source's node: it has rules of before.";
        ReturnPathBlocked: "The target receives the packets, and its answers do not come back.",
            "Silence, while the target's sidecar sees the SYN answered and waiting, or answers that are sent again and not acknowledged; confirmed by several source ports, walk after walk.",
            "Look for filters and routes on the way back: egress of the target's node, ingress of the source's, asymmetric routing.";
        Overloaded: "The target does not accept connections as fast as they come.",
            "The accept queue is full, by the word of the target's sidecar; confirmed by two looks, a counter of overflows that rises, and policies that allow the connection.",
            "Look at the target's application: it is stuck or too slow. Add replicas, or raise its listen backlog.";
        HostUnreachable: "The target's host cannot be reached.",
            "ICMP host unreachable, or a failed neighbour lookup: nobody answers for the address there; or time exceeded in transit, where the pod's own packets may only go a few hops.",
            "The pod is gone or its node is cut off, or, where the pod is heard elsewhere, the link does not lead to it: look at the endpoint's pod and node, and at ports that are isolated from each other. Where the explanation says that the pod's packets may go only a few hops, raise the sysctl that it names.";
        PodGone: "The endpoint's address has nobody behind it.",
            "ICMP host unreachable from the pod's own kernel, whose neighbour lookup for the endpoint's own address failed while nothing else is heard from the pod; or silence or host unreachable at an endpoint whose pod does not exist any more, by the API.",
            "The pod is gone and still an endpoint: look at the EndpointSlices and at what keeps them, and at the pod's node.";
        RoutingLoop: "Packets to the target go round in circles.",
            "ICMP time exceeded in transit; confirmed when packets that may only go a few hops come by the same router twice, with another in between.",
            "Look at the routes of the router that sent it, and of the one it forwards to.";
        NetworkUnreachable: "There is no route to the target.",
            "ICMP network unreachable, or no route in the pod itself.",
            "Look at the routes of the node, and at the pod's own interface.";
        FamilyDegraded: "One address family works, the other fails entirely.",
            "In the same walk every address of one family that was dialled connects, and every one of the other family fails.",
            "Look at the addresses, routes and firewalls of the family that the explanation names, or remove it from the Service's ipFamilies.";
        MtuBlackhole: "Large packets vanish on the way, small ones do not.",
            "An exchange over the connection got no answer, and the same exchange got it, again and again, over connections whose segments are small.",
            "Look for a link or tunnel on the way whose MTU is smaller than the pods' and for filters that drop ICMP of type 3 code 4 (ICMPv6 type 2); a smaller MTU for pods, or MSS clamping, avoids it.";
        InterceptedLocally: "Something in the source pod accepts the connection in the target's place.",
            "The other end of the connection is a socket in the pod's own network namespace that is no endpoint of the target.",
            "Expected with a service mesh. A connection alone proves nothing then: give a check without an HTTP request one. Where the request failed, look at the logs of what accepts in the pod.";
    }
    Tls {
        TlsUntrustedIssuer: "The server's certificate is not signed by a trusted root.",
            "The TLS library found no path from the certificate to a given root; confirmed once roots that were replaced would have been read again.",
            "Give the check the root that signed it, or find out who answers in the server's place.";
        TlsHandshakeFailed: "The TLS handshake failed.",
            "An alert, a protocol error, an invalid certificate, a reset or silence during the handshake; the explanation has the words of the TLS library.",
            "Check that the port speaks TLS, and the certificate's names and dates.";
    }
    Request {
        HttpStatus: "The HTTP status says that the target cannot serve.",
            "A status code at or above statusBelow.",
            "Look at the target's own logs; correct the path if the code is 404.";
        ConnectionReset: "The connection was made and then reset.",
            "RST, or an end of the connection before an answer.",
            "Look at the target's own logs, and at proxies in between that accept for it.";
        NoResponse: "The connection was made and no answer came.",
            "No byte of an answer within the deadline.",
            "The target is overloaded or stuck, or accepts and does not speak HTTP.";
        PeerNotReading: "The target does not read what it was sent.",
            "No answer, while the target's kernel has received bytes that its application has not read, or has no room for more (a receive window of zero).",
            "Look at the target's application: it is stuck, or out of threads.";
        SlowResponse: "The target answers, and sometimes later than the check allows.",
            "A connection, a handshake or an answer that did not come within its time, from a target that lives, no more than ten walks in a row, while one in a hundred of the walks that passed took half of that time or more; twenty of them at least. Never where every source port is silent or a policy denies.",
            "Set timeouts.total or timeouts.connect as the message says, or another profile, or make the target faster.";
    }
    Local {
        LocalResources: "The prober itself ran out of something.",
            "The kernel refused a socket, a port or memory to the prober.",
            "Look at the pod's limits and at the application's number of connections; the network is not blamed.";
        LocalPermission: "The pod may not use sockets as the prober does.",
            "EPERM or EACCES from opening, setting up or binding a socket, which no network has a part in.",
            "Look at the pod's seccomp and security profiles, and at what else restricts its system calls.";
        ProbeStarved: "The prober was kept from running, and what it waited for did not come.",
            "Silence or a timeout in a walk during which the container's CPU limit stopped it, others ran in its place or its timers were late, for a tenth of a second in one piece or a tenth of the walk. Answers, refusals among them, stay what they are.",
            "Raise the CPU limit of the sidecar (sidecar.resources of the Peerwalk chart), or look at the load of the pod's node.";
        BudgetExceeded: "The sidecar's own budget is spent, and the target was not tried.",
            "Every address of the target was skipped for want of budget, or no DNS query was left to ask for its name, in the first walk or in every one since.",
            "Give the pod fewer targets or longer intervals: what a sidecar may send is bounded, whatever the checks ask for. Names cost less with a final dot, or with a smaller ndots in the pod's dnsConfig.";
    }
    Coverage {
        NoSourcePods: "The selector matches no running pod.",
            "No running pod of the namespace has the labels.",
            "Correct spec.source.podSelector, or start the workload; minPods: 0 accepts an empty selection.";
        NotInjected: "Source pods run without the sidecar.",
            "Selected pods have no Peerwalk container.",
            "Label the namespace or the pods peerwalk.dev/inject=enabled and run kubectl rollout restart.";
        NotReporting: "Source pods have the sidecar, and it does not report.",
            "No stream from an injected pod for longer than it may take to attach.",
            "Allow egress to the hub: the message prints the rule to add when a policy blocks it. Restart the pods when it says that they were injected under a replaced root.";
        ResultsStale: "The last completed walk is too old.",
            "The age of the last completed walk exceeds staleAfter.",
            "Look at the sidecar's log in the source pod, and at its CPU limit. Where other targets of the pod are stale too, now and then, its checks ask for more than a sidecar may send: longer intervals or fewer targets.";
        TargetNotFound: "The target does not exist.",
            "No Service of that name in that namespace, or one of type ExternalName, which is an alias in DNS with nothing behind it.",
            "Correct the name and namespace in the check, or create the Service. For an alias give the check the url that it stands for.";
        TargetNotAllowed: "The operator's configuration does not allow this target.",
            "The address of a URL is outside the cluster and not allowed, or the name leads to addresses that are never dialled: loopback, link-local, multicast, metadata.",
            "Ask for the address or host to be added to allowedTargets of the Peerwalk chart.";
        NotReadable: "The operator cannot read this check and does not carry it out.",
            "The stored object does not fit the types of the running operator.",
            "Correct the field that the message names; after an upgrade, see that the operator and the CustomResourceDefinition are of one version.";
        NotProven: "The expectation cannot be proven either way.",
            "The target was expected to be denied, and what was seen has other explanations; the application goes through a proxy that could not be asked as the application asks it; the name of a Service leads to addresses that are not known as its own; or the source pod has more targets than one pod walks.",
            "The message says what would prove it.";
        Probing: "The first round of walks is not complete.",
            "Some pair of source pod and target has no completed walk of the current spec and pod template.",
            "Wait for the round; if it stays, the message says what is missing.";
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A word that is no reason code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReason(pub String);

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no reason code; see docs/reasons.md", self.0)
    }
}

impl std::error::Error for UnknownReason {}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
            .ok_or_else(|| UnknownReason(code.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete_and_reads_back() {
        for reason in Reason::ALL {
            for (field, text) in
                [("meaning", reason.meaning()), ("evidence", reason.evidence()), ("remedy", reason.remedy())]
            {
                assert!(text.ends_with('.') && text.len() > 20, "{reason}: {field} is a sentence: {text:?}");
            }
            assert_eq!(reason.code().parse(), Ok(*reason), "the code reads back");
        }
    }

    #[test]
    fn an_unknown_code_is_named() {
        assert_eq!("Nonsense".parse::<Reason>(), Err(UnknownReason("Nonsense".into())));
    }
}
