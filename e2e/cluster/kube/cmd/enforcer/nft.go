package main

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
)

const table = "inet peerwalk_netpol"

// empty replaces the table by nothing; the first line is there because deleting what is not there is an error.
const empty = "table " + table + "\ndelete table " + table + "\n"

// verdicts are what a denied packet gets.
var verdicts = map[string]string{
	"drop":       "counter drop",
	"reject":     "counter reject with icmpx type port-unreachable",
	"reset":      "meta l4proto tcp counter reject with tcp reset\n    counter reject with icmpx type port-unreachable",
	"prohibited": "counter reject with icmpx type admin-prohibited",
}

// table writes the whole state as one transaction. Pods are routed, so every packet between pods passes the
// forward hook; packets from the node itself do not, which is what keeps the kubelet's probes working.
func (w *world) table(node, deny, podRange string) string {
	var chains strings.Builder
	var ingress, egress, known []string
	for _, p := range w.pods {
		if p.Spec.NodeName != node {
			continue
		}
		known = append(known, p.Status.PodIP)
		if chain, ok := w.chain(&chains, p, netv1.PolicyTypeIngress, "in"); ok {
			ingress = append(ingress, p.Status.PodIP+" : jump "+chain)
		}
		if chain, ok := w.chain(&chains, p, netv1.PolicyTypeEgress, "eg"); ok {
			egress = append(egress, p.Status.PodIP+" : jump "+chain)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%stable %s {\n  chain deny {\n    %s\n  }\n%s", empty, table, verdicts[deny], chains.String())
	b.WriteString("  chain forward {\n    type filter hook forward priority 10; policy accept;\n    ct state established,related accept\n")
	if podRange != "" {
		for _, side := range []string{"saddr", "daddr"} {
			fmt.Fprintf(&b, "    ip %s %s ", side, podRange)
			if len(known) > 0 {
				fmt.Fprintf(&b, "ip %s != { %s } ", side, strings.Join(known, ", "))
			}
			b.WriteString("jump deny\n")
		}
	}
	if len(egress) > 0 {
		fmt.Fprintf(&b, "    ip saddr vmap { %s }\n", strings.Join(egress, ", "))
	}
	if len(ingress) > 0 {
		fmt.Fprintf(&b, "    ip daddr vmap { %s }\n", strings.Join(ingress, ", "))
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

func (w *world) chain(b *strings.Builder, p *corev1.Pod, direction netv1.PolicyType, prefix string) (name string, isolated bool) {
	rules, isolated := w.isolation(p, direction)
	if !isolated {
		return "", false
	}
	name = fmt.Sprintf("%s_%x", prefix, sha256.Sum256([]byte(p.UID)))[:15]
	// A pod always reaches itself, also by way of a Service.
	fmt.Fprintf(b, "  chain %s {\n    ip saddr %s ip daddr %s return\n", name, p.Status.PodIP, p.Status.PodIP)
	for _, r := range rules {
		fmt.Fprintf(b, "    %s\n", r)
	}
	b.WriteString("    jump deny\n  }\n")
	return name, true
}

func addresses(pods []*corev1.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Status.PodIP)
	}
	sort.Strings(out)
	return "{ " + strings.Join(out, ", ") + " }"
}

func load(rules string) error {
	c := exec.Command("nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
