// enforcer: NetworkPolicy (networking.k8s.io/v1) on one node of the cluster, by nftables on routed IPv4 pods.
//
// It shares nothing with Peerwalk's own policy engine, neither language nor reading of the API, so that
// the two check each other: this one lets the kernel decide, that one explains.
//
// How a denial looks on the wire is read from the ConfigMap kube-system/enforcer and may change at any time:
//
//	deny:   drop | reject | reset | prohibited | none (policies have no effect)
//	strict: "true" denies addresses of this node's pod range that belong to no known pod; otherwise a new pod
//	        is reachable for a moment before its policies hold, as with most real network plugins
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	netlisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	configNamespace = "kube-system"
	configName      = "enforcer"
)

type listers struct {
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   netlisters.NetworkPolicyLister
	config     corelisters.ConfigMapLister
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file with the address and credentials of the API server")
	node := flag.String("node", "", "name of this node")
	podRange := flag.String("pod-range", "", "this node's pod addresses, as a CIDR")
	applied := flag.String("applied", "", "file that says which configuration the kernel has, as `DENY STRICT`")
	flag.Parse()
	// Benchmarks read from the log when the kernel had a policy.
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	clients, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatalf("kubeconfig: %v", err)
	}
	changed := make(chan struct{}, 1)
	from := watch(kubernetes.NewForConfigOrDie(clients), changed)
	last := ""
	for range changed {
		mode, rules := from.ruleset(*node, *podRange)
		if rules+mode != last {
			started := time.Now()
			if err := load(rules); err != nil {
				log.Printf("nft: %v\n%s", err, rules)
				time.Sleep(200 * time.Millisecond)
				signal(changed)
				continue
			}
			last = rules + mode
			log.Printf("applied in %v: %s, %d bytes", time.Since(started).Round(time.Millisecond), mode, len(rules))
		}
		if err := replace(*applied, mode); err != nil {
			log.Fatalf("-applied: %v", err)
		}
	}
}

// watch fills its listers before it returns, and signals on every later change.
func watch(client kubernetes.Interface, changed chan struct{}) listers {
	all := informers.NewSharedInformerFactory(client, 0)
	own := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(configNamespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", configName).String()
		}))
	pods, namespaces := all.Core().V1().Pods(), all.Core().V1().Namespaces()
	policies, config := all.Networking().V1().NetworkPolicies(), own.Core().V1().ConfigMaps()
	onChange := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal(changed) },
		UpdateFunc: func(_, _ any) { signal(changed) },
		DeleteFunc: func(any) { signal(changed) },
	}
	for _, i := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer(), config.Informer()} {
		if _, err := i.AddEventHandler(onChange); err != nil {
			log.Fatalf("watch: %v", err)
		}
	}
	ctx := context.Background()
	for _, f := range []informers.SharedInformerFactory{all, own} {
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
	}
	signal(changed)
	return listers{pods.Lister(), namespaces.Lister(), policies.Lister(), config.Lister()}
}

func signal(changed chan struct{}) {
	select {
	case changed <- struct{}{}:
	default: // one is waiting already, and it will see this change too
	}
}

func (l listers) ruleset(node, podRange string) (mode, rules string) {
	deny, strict := "drop", false
	if c, err := l.config.ConfigMaps(configNamespace).Get(configName); err == nil {
		strict = c.Data["strict"] == "true"
		if _, ok := verdicts[c.Data["deny"]]; ok || c.Data["deny"] == "none" {
			deny = c.Data["deny"]
		} else {
			log.Printf("ConfigMap %s/%s: deny is %q, not drop, reject, reset, prohibited or none: using %s", configNamespace, configName, c.Data["deny"], deny)
		}
	}
	mode = deny + " loose"
	if strict {
		mode = deny + " strict"
	}
	if deny == "none" {
		return mode, empty
	}
	if !strict {
		podRange = ""
	}
	w := world{namespaces: map[string]labels.Set{}}
	pods, _ := l.pods.List(labels.Everything()) // listers read memory: they have no error to give
	for _, p := range pods {
		if hasOwnAddress(p) {
			w.pods = append(w.pods, p)
		}
	}
	namespaces, _ := l.namespaces.List(labels.Everything())
	for _, n := range namespaces {
		w.namespaces[n.Name] = n.Labels
	}
	w.policies, _ = l.policies.List(labels.Everything())
	sort.Slice(w.pods, func(i, j int) bool { return w.pods[i].UID < w.pods[j].UID })
	sort.Slice(w.policies, func(i, j int) bool { return w.policies[i].UID < w.policies[j].UID })
	return mode, w.table(node, deny, podRange)
}

// hasOwnAddress leaves out host-network pods, whose address is the node's, and ended ones, whose address may be another pod's by now.
func hasOwnAddress(p *corev1.Pod) bool {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	return p.Status.PodIP != "" && !strings.Contains(p.Status.PodIP, ":") && !p.Spec.HostNetwork && !ended
}

func replace(path, text string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
