//! Who answers dials that may only go a few hops.

use peerwalk_model::evidence::HopLimits;

use super::*;

/// Hops as (number, who answered, whether the address did itself), and the pod's own limits.
fn hops(walk: &Walk) -> (Vec<(u8, Option<String>, bool)>, HopLimits) {
    let connect = walk.connect.as_ref().unwrap();
    let hop = |hop: &peerwalk_model::evidence::Hop| (hop.ttl, hop.from.map(|ip| ip.to_string()), hop.reached);
    (connect.hops.iter().map(hop).collect(), connect.hop_limits)
}

fn limits(v6: bool, limit: u8) -> HopLimits {
    if v6 { HopLimits { v4: None, v6: Some(limit) } } else { HopLimits { v4: Some(limit), v6: None } }
}

fn set(lab: &Lab, at: At, sysctls: &[(&str, &str)]) {
    lab.run(at, || {
        for (name, value) in sysctls {
            std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
        }
    });
}

#[test]
fn silence_behind_a_router_names_it_and_costs_no_dial() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[81]);
    lab.forward("tcp dport 81 drop");
    for (family, node) in NODE.into_iter().enumerate() {
        let (prober, target) = (Prober::new(Environment::default()), tcp(at(SERVER[family], 81)));
        let walk = walks(&lab, &prober, &target).pop().unwrap();
        let known = (vec![(1, Some(node.to_owned()), false), (2, None, false)], limits(family == 1, 64));
        assert_eq!(hops(&walk), known);
        let dials = dials(&walk, DialPurpose::Address);
        assert!(dials.iter().all(|dial| dial.outcome == DialOutcome::Silent), "no router's word: {dials:?}");
        assert_eq!(odd_and_even(&dials), (4, 4), "the sockets of the diagnosis and no others");
        let again = walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
        assert_eq!(hops(&again), known, "remembered, as the silence is");
    }
}

#[test]
fn packets_in_a_circle_come_by_the_same_router_again() {
    let Some(lab) = Lab::new() else { return };
    // The node sends it to the server, and the server sends it back.
    set(&lab, At::Server, &[("ipv4/ip_forward", "1")]);
    let prober = Prober::new(Environment::default());
    let walk = walks(&lab, &prober, &tcp(at("10.96.1.1", 80))).pop().unwrap();
    let routers = [NODE[0], SERVER[0], NODE[0], SERVER[0], NODE[0]];
    let all: Vec<_> = (1..).zip(routers).map(|(ttl, from)| (ttl, Some(from.to_owned()), false)).collect();
    assert_eq!(hops(&walk), (all, limits(false, 64)), "{walk:#?}");
    assert_eq!(dials(&walk, DialPurpose::Address).len(), 1, "the dial itself is no more than one");
}

#[test]
fn a_small_limit_of_the_pod_s_own_is_told_with_what_a_larger_one_reaches() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    set(&lab, At::Client, &[("ipv4/ip_default_ttl", "1"), ("ipv6/conf/eth0/hop_limit", "1")]);
    for (family, node) in NODE.into_iter().enumerate() {
        let prober = Prober::new(Environment::default());
        let walk = walks(&lab, &prober, &tcp(at(SERVER[family], 80))).pop().unwrap();
        let known = (vec![(1, Some(node.to_owned()), false), (2, None, true)], limits(family == 1, 1));
        assert_eq!(hops(&walk), known);
        let over = if family == 1 { (3, 0, node) } else { (11, 0, node) };
        for dial in dials(&walk, DialPurpose::Address) {
            assert_eq!(dial.outcome, refused(Some(over), 113), "what reaches it is no dial of the target");
        }
    }
}

#[test]
fn nobody_is_asked_while_a_host_has_refusals_to_send() {
    let Some(lab) = Lab::new() else { return };
    lab.forward("tcp dport 81 drop\ntcp dport 82 reject with icmpx admin-prohibited");
    let prober = Prober::new(Environment::default());
    let last = |port| walks(&lab, &prober, &tcp(at(SERVER[0], port))).pop().unwrap();
    assert_eq!(dials(&last(82), DialPurpose::Address)[0].outcome, refused(Some((3, 13, NODE[0])), 113));
    let silent = last(81);
    assert_eq!(hops(&silent), (vec![], HopLimits::default()), "the node's errors are the application's too");
    assert_eq!(odd_and_even(&dials(&silent, DialPurpose::Address)), (4, 4), "silence is proven all the same");
}
