package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// listeners by port, so that one of them can be stopped and started again over HTTP.
type listeners struct {
	sync.Mutex
	kinds map[string]string
	open  map[string]io.Closer
}

func listen(specs ...string) {
	l := &listeners{kinds: map[string]string{}, open: map[string]io.Closer{}}
	for _, spec := range specs {
		kind, port, found := strings.Cut(spec, ":")
		if !found {
			kind, port = "tcp", spec
		}
		l.kinds[port] = kind
		if err := l.start(port); err != nil {
			fail(2, "testbed: %s: %v", spec, err)
		}
		fmt.Println("listening", kind, port)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}

func (l *listeners) start(port string) error {
	l.Lock()
	defer l.Unlock()
	if l.open[port] != nil {
		return nil
	}
	kind := l.kinds[port]
	if kind == "udp" {
		return l.startUDP(port)
	}
	serve, err := l.server(kind)
	if err != nil {
		return err
	}
	socket, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	l.open[port] = socket
	go serve(socket)
	return nil
}

func (l *listeners) startUDP(port string) error {
	socket, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	l.open[port] = socket
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(b[:n], from)
		}
	}()
	return nil
}

func (l *listeners) server(kind string) (func(net.Listener), error) {
	switch kind {
	case "http":
		return func(s net.Listener) { _ = http.Serve(s, http.HandlerFunc(l.answer)) }, nil
	case "https":
		config, err := selfSigned(strings.Fields(os.Getenv("TLS_NAMES")))
		return func(s net.Listener) { _ = http.Serve(tls.NewListener(s, config), http.HandlerFunc(l.answer)) }, err
	case "proxy":
		return func(s net.Listener) { _ = http.Serve(s, forwardProxy{}) }, nil
	case "proxy+svc":
		return func(s net.Listener) { _ = http.Serve(s, forwardProxy{clusterNames: true}) }, nil
	case "tcp":
		return each(func(c *net.TCPConn) { fmt.Fprintf(c, "220 %s ready\r\n", hostname()); _, _ = io.Copy(c, c) }), nil
	case "echo":
		return each(func(c *net.TCPConn) { _, _ = io.Copy(c, c) }), nil
	case "silent":
		return each(func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), nil
	case "reset":
		// Lingering for no time makes close send RST.
		return each(func(c *net.TCPConn) { _, _ = bufio.NewReader(c).ReadByte(); _ = c.SetLinger(0) }), nil
	}
	return nil, fmt.Errorf("unknown kind %q", kind)
}

func each(serve func(*net.TCPConn)) func(net.Listener) {
	return func(s net.Listener) {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c.(*net.TCPConn)) }()
		}
	}
}

func (l *listeners) answer(w http.ResponseWriter, r *http.Request) {
	verb, argument, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch verb {
	case "status":
		if code, err := strconv.Atoi(argument); err == nil && code >= 200 && code < 600 {
			w.WriteHeader(code)
			return
		}
		http.Error(w, "not a status from 200 to 599: "+argument, http.StatusBadRequest)
	case "close":
		l.Lock()
		defer l.Unlock()
		if s := l.open[argument]; s != nil {
			_ = s.Close()
			delete(l.open, argument)
		}
		fmt.Fprintln(w, "closed", argument)
	case "open":
		if l.kinds[argument] == "" {
			http.Error(w, "not a port of this process: "+argument, http.StatusBadRequest)
		} else if err := l.start(argument); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		} else {
			fmt.Fprintln(w, "open", argument)
		}
	default:
		fmt.Fprintf(w, "%s from %s\n", hostname(), r.RemoteAddr)
	}
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

func selfSigned(names []string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "testbed"}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, err
}
