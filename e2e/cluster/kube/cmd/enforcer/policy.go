package main

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// world is what the API server says at one moment.
type world struct {
	pods       []*corev1.Pod
	namespaces map[string]labels.Set
	policies   []*netv1.NetworkPolicy
}

// isolation returns the rules that admit traffic of one pod in one direction, each a line of nft that ends in
// "return"; isolated is false when no policy selects the pod for that direction.
func (w *world) isolation(p *corev1.Pod, direction netv1.PolicyType) (rules []string, isolated bool) {
	for _, np := range w.policies {
		if np.Namespace != p.Namespace || !matches(&np.Spec.PodSelector, p.Labels) {
			continue
		}
		for _, t := range np.Spec.PolicyTypes {
			if t != direction {
				continue
			}
			isolated = true
			if direction == netv1.PolicyTypeIngress {
				for _, r := range np.Spec.Ingress {
					rules = append(rules, w.admit(p, np, r.From, r.Ports, direction)...)
				}
			} else {
				for _, r := range np.Spec.Egress {
					rules = append(rules, w.admit(p, np, r.To, r.Ports, direction)...)
				}
			}
		}
	}
	return rules, isolated
}

// match is one peer of a rule: an expression of nft, and the pods behind it where named ports must be looked up.
type match struct {
	expr string
	pods []*corev1.Pod
}

func (w *world) admit(p *corev1.Pod, np *netv1.NetworkPolicy, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort, direction netv1.PolicyType) (rules []string) {
	for _, m := range w.matches(np, peers, direction) {
		if len(ports) == 0 {
			rules = append(rules, m.expr+"return")
		}
		for _, port := range ports {
			rules = append(rules, admitPort(p, m, port, direction)...)
		}
	}
	return rules
}

func (w *world) matches(np *netv1.NetworkPolicy, peers []netv1.NetworkPolicyPeer, direction netv1.PolicyType) (out []match) {
	if len(peers) == 0 {
		return []match{{"", w.pods}}
	}
	side := "saddr"
	if direction == netv1.PolicyTypeEgress {
		side = "daddr"
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if expr, ok := block(side, peer.IPBlock); ok {
				out = append(out, match{expr, w.podsIn(peer.IPBlock)})
			}
			continue
		}
		if pods := w.peerPods(np.Namespace, peer); len(pods) > 0 {
			out = append(out, match{fmt.Sprintf("ip %s %s ", side, addresses(pods)), pods})
		}
	}
	return out
}

func (w *world) peerPods(namespace string, peer netv1.NetworkPolicyPeer) (out []*corev1.Pod) {
	for _, p := range w.pods {
		if peer.NamespaceSelector == nil && p.Namespace != namespace {
			continue
		}
		if peer.NamespaceSelector != nil && !matches(peer.NamespaceSelector, w.namespaces[p.Namespace]) {
			continue
		}
		if peer.PodSelector != nil && !matches(peer.PodSelector, p.Labels) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// block writes exceptions one by one: nft refuses overlapping ranges in one set, the API allows them.
func block(side string, b *netv1.IPBlock) (expr string, ok bool) {
	if !isIPv4(b.CIDR) {
		return "", false // this cluster has no IPv6: such a peer matches nothing
	}
	expr = fmt.Sprintf("ip %s %s ", side, b.CIDR)
	for _, e := range b.Except {
		if isIPv4(e) {
			expr += fmt.Sprintf("ip %s != %s ", side, e)
		}
	}
	return expr, true
}

func isIPv4(cidr string) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && p.Addr().Is4()
}

// podsIn serves named ports beside an ipBlock: they are those of the pods whose address is in the block.
func (w *world) podsIn(b *netv1.IPBlock) (out []*corev1.Pod) {
	within := func(cidr, address string) bool {
		p, err := netip.ParsePrefix(cidr)
		a, err2 := netip.ParseAddr(address)
		return err == nil && err2 == nil && p.Contains(a)
	}
next:
	for _, p := range w.pods {
		if !within(b.CIDR, p.Status.PodIP) {
			continue
		}
		for _, e := range b.Except {
			if within(e, p.Status.PodIP) {
				continue next
			}
		}
		out = append(out, p)
	}
	return out
}

func admitPort(p *corev1.Pod, m match, port netv1.NetworkPolicyPort, direction netv1.PolicyType) (rules []string) {
	protocol := corev1.ProtocolTCP
	if port.Protocol != nil {
		protocol = *port.Protocol
	}
	l4 := strings.ToLower(string(protocol))
	switch {
	case port.Port == nil:
		return []string{fmt.Sprintf("%smeta l4proto %s return", m.expr, l4)}
	case port.Port.Type == intstr.Int && port.EndPort != nil:
		return []string{fmt.Sprintf("%s%s dport %d-%d return", m.expr, l4, port.Port.IntVal, *port.EndPort)}
	case port.Port.Type == intstr.Int:
		return []string{fmt.Sprintf("%s%s dport %d return", m.expr, l4, port.Port.IntVal)}
	case direction == netv1.PolicyTypeIngress: // a named port is the receiver's
		for _, n := range named(p, port.Port.StrVal, protocol) {
			rules = append(rules, fmt.Sprintf("%s%s dport %d return", m.expr, l4, n))
		}
	default:
		for _, d := range m.pods {
			for _, n := range named(d, port.Port.StrVal, protocol) {
				rules = append(rules, fmt.Sprintf("ip daddr %s %s dport %d return", d.Status.PodIP, l4, n))
			}
		}
	}
	return rules
}

// named looks at containers and at native sidecars; other init containers are gone when the pod serves.
func named(p *corev1.Pod, name string, protocol corev1.Protocol) (out []int32) {
	containers := append([]corev1.Container{}, p.Spec.Containers...)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.Name == name && port.Protocol == protocol {
				out = append(out, port.ContainerPort)
			}
		}
	}
	return out
}

func matches(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}
