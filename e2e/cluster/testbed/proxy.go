package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// forwardProxy stands for a company's proxy: it runs in a pod, but resolves names as a host outside the cluster would.
type forwardProxy struct{ clusterNames bool }

func (p forwardProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	if r.URL.Host == "" {
		http.Error(w, "this is a proxy: send the absolute form of the URL", http.StatusBadRequest)
		return
	}
	r.RequestURI = ""
	r.Header.Del("Proxy-Connection")
	transport := http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return p.dial(ctx, address) }, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		badGateway(w, r.URL.Host, err)
		return
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.Header().Add("Via", "1.1 testbed")
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

func (p forwardProxy) tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := p.dial(r.Context(), r.Host)
	if err != nil {
		badGateway(w, r.Host, err)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(there, buffered); done <- struct{}{} }()
	go func() { _, _ = io.Copy(here, there); done <- struct{}{} }()
	<-done
}

func (p forwardProxy) dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "80"
	}
	if net.ParseIP(host) == nil && !p.clusterNames {
		name := strings.TrimSuffix(strings.ToLower(host), ".")
		if !strings.Contains(name, ".") || strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, ".cluster.local") {
			return nil, fmt.Errorf("lookup %s: no such host", host)
		}
		host = name + "." // absolute: the pod's search list is not this proxy's
	}
	return (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

func badGateway(w http.ResponseWriter, host string, err error) {
	http.Error(w, fmt.Sprintf("Bad Gateway: cannot reach %s: %v", host, err), http.StatusBadGateway)
}
