package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// From linux/in.h, linux/socket.h, linux/errqueue.h and poll.h.
const (
	ipRecvErr      = 11
	msgErrQueue    = 0x2000
	eeOriginICMP   = 2
	pollIn         = 1
	pollOut        = 4
	eeOffenderAddr = 16 + 4 // struct sock_extended_err, then the address inside a sockaddr_in
)

func connectOnce(kind, host string, port int, timeout time.Duration) {
	ip, took := resolve(host)
	outcome, ok := attempt(kind, ip, port, timeout)
	fmt.Printf("%s %s->%v:%d (dns %v) %s\n", kind, host, ip, port, took.Round(10*time.Microsecond), outcome)
	if !ok {
		os.Exit(1)
	}
}

func watch(host string, port, seconds int) {
	ip, _ := resolve(host)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	first, was := true, false
	for time.Now().Before(end) {
		at := time.Now()
		outcome, ok := attempt("tcp", ip, port, 40*time.Millisecond)
		if first || ok != was {
			fmt.Printf("%d %s\n", at.UnixMilli(), outcome)
			first, was = false, ok
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func keep(host, port string, seconds int) {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 3*time.Second)
	if err != nil {
		fail(1, "%v", err)
	}
	fmt.Println("open")
	lines := bufio.NewReader(c)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	n := 0
	for ; time.Now().Before(end); n++ {
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		fmt.Fprintf(c, "line %d\n", n)
		if _, err := lines.ReadString('\n'); err != nil {
			fail(1, "lost after %d lines: %v", n, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	fmt.Println("kept for", n, "lines")
}

func fetch(address, proxy string) {
	client := http.Client{Timeout: 5 * time.Second}
	if proxy != "" {
		through, err := url.Parse(proxy)
		if err != nil {
			fail(2, "PROXY: %v", err)
		}
		client.Transport = &http.Transport{Proxy: http.ProxyURL(through)}
	}
	answer, err := client.Get(address)
	if err != nil {
		fail(1, "%v", err)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Print(answer.StatusCode, " ", string(body))
}

func resolve(host string) (net.IP, time.Duration) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupIP(ctx, "ip4", host)
	if err != nil {
		fmt.Println("DNS", err)
		os.Exit(3)
	}
	return found[0].To4(), time.Since(started)
}

// attempt uses bare system calls because Go's own dialer does not give access to the error queue.
func attempt(kind string, ip net.IP, port int, timeout time.Duration) (outcome string, ok bool) {
	socketType := syscall.SOCK_STREAM
	if kind == "udp" {
		socketType = syscall.SOCK_DGRAM
	}
	fd, err := syscall.Socket(syscall.AF_INET, socketType|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "socket: " + err.Error(), false
	}
	defer syscall.Close(fd)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipRecvErr, 1)
	address := &syscall.SockaddrInet4{Port: port}
	copy(address.Addr[:], ip)
	started := time.Now()
	if err = syscall.Connect(fd, address); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Sprintf("connect: %v after %v; %s", err, since(started), errorQueue(fd)), false
	}
	wanted := int16(pollOut)
	if kind == "udp" {
		if _, err := syscall.Write(fd, []byte("ping")); err != nil {
			return "write: " + err.Error(), false
		}
		wanted = pollIn
	}
	if !poll(fd, wanted, started.Add(timeout)) {
		return fmt.Sprintf("TIMEOUT after %v; %s", since(started), errorQueue(fd)), false
	}
	took, queue := since(started), errorQueue(fd)
	if code, _ := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR); code != 0 {
		return fmt.Sprintf("FAIL %v (%d) after %v; %s", syscall.Errno(code), code, took, queue), false
	}
	if kind == "tcp" {
		return fmt.Sprintf("OK connected after %v", took), true
	}
	b := make([]byte, 64)
	n, err := syscall.Read(fd, b)
	if err != nil {
		return fmt.Sprintf("FAIL read %v after %v; %s", err, took, queue), false
	}
	return fmt.Sprintf("OK %q after %v", b[:n], took), true
}

func poll(fd int, events int16, deadline time.Time) bool {
	p := struct {
		fd              int32
		events, revents int16
	}{int32(fd), events, 0}
	for {
		left := max(time.Until(deadline).Milliseconds(), 0)
		n, _, errno := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(left))
		if errno != syscall.EINTR {
			return int(n) > 0
		}
	}
}

func errorQueue(fd int) (text string) {
	data, control := make([]byte, 512), make([]byte, 512)
	_, n, _, _, err := syscall.Recvmsg(fd, data, control, msgErrQueue|syscall.MSG_DONTWAIT)
	if err != nil {
		return "errqueue: empty"
	}
	messages, err := syscall.ParseSocketControlMessage(control[:n])
	if err != nil {
		return "errqueue: " + err.Error()
	}
	for _, m := range messages {
		if m.Header.Level != syscall.IPPROTO_IP || m.Header.Type != ipRecvErr || len(m.Data) < 16 {
			continue
		}
		e := m.Data
		text += fmt.Sprintf("errqueue: errno=%v origin=%d type=%d code=%d", syscall.Errno(binary.NativeEndian.Uint32(e)), e[4], e[5], e[6])
		if e[4] == eeOriginICMP && len(e) >= eeOffenderAddr+4 {
			text += fmt.Sprintf(" offender=%v", net.IP(e[eeOffenderAddr:eeOffenderAddr+4]))
		}
	}
	return text
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Microsecond) }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fail(2, "not a number: %q\n%s", s, usage)
	}
	return n
}

func milliseconds(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }
