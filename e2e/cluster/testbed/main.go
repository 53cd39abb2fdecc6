// testbed: every server and client that the images of the end-to-end tests need, in one static binary.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: testbed COMMAND

Servers (each SPEC is KIND:PORT, a bare PORT is tcp:PORT):
  serve                        the same as: listen http:8080 udp:8081
  proxy [PORT]                 the same as: listen proxy:3128
  hold [PORT]                  the same as: listen echo:9000
  listen SPEC...               http    /status/NNN answers NNN; /close/PORT and /open/PORT stop and start
                                       another listener of this process; anything else names the host
                               https   the same with a certificate nobody trusts, for the names in TLS_NAMES
                               tcp     accepts, says "220 HOST ready", echoes
                               echo    accepts and echoes lines for as long as the client likes
                               silent  accepts everything and never says a word
                               reset   accepts and resets
                               udp     echoes datagrams
                               proxy   forward proxy (absolute form and CONNECT) that stands for one outside the
                                       cluster: no short names, no *.svc, no *.cluster.local; it answers 502 then
                               proxy+svc  a forward proxy that resolves everything

Clients (exit 0: reached, 1: not, 3: the name did not resolve):
  tcp HOST PORT [TIMEOUT_MS]   connects, prints the socket's error queue where there is something in it
  udp HOST PORT [TIMEOUT_MS]   sends "ping", waits for an answer
  http URL [PROXY]             prints status and body
  keep HOST PORT SECONDS       one connection, a line every 200 ms; says when no echo came for 2 s
  watch HOST PORT SECONDS      connects every 2 ms, prints unix milliseconds whenever the outcome changes

  pause                        waits, reaps
  exit CODE
`

func main() {
	args := append(os.Args[1:], "", "", "", "")
	switch args[0] {
	case "pause":
		pause()
	case "serve":
		listen("http:8080", "udp:8081")
	case "proxy":
		listen("proxy:" + or(args[1], "3128"))
	case "hold":
		listen("echo:" + or(args[1], "9000"))
	case "listen":
		if len(os.Args) < 3 {
			fail(2, usage)
		}
		listen(os.Args[2:]...)
	case "tcp", "udp":
		connectOnce(args[0], args[1], number(args[2]), milliseconds(or(args[3], "3000")))
	case "http":
		fetch(args[1], args[2])
	case "keep":
		keep(args[1], args[2], number(args[3]))
	case "watch":
		watch(args[1], number(args[2]), number(args[3]))
	case "exit":
		os.Exit(number(args[1]))
	default:
		fail(2, usage)
	}
}

// pause is what the sandbox of a pod runs: process 1 of a shared process namespace has to reap.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		var status syscall.WaitStatus
		for {
			if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func fail(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(code)
}
