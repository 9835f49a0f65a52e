//go:build unix

package suitetest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports lie below those that systems give to outgoing connections: a server
// that was killed must find its port free when it comes back, and a port from
// that range could have become the near end of some connection meanwhile.
const (
	firstPort = 20000
	lastPort  = 31999
	portTries = 200
)

var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// Addr returns an address of this machine, host:port, that nobody listens at
// and that no other call in this process returns.
func Addr(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if ports.given[port] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		var lc net.ListenConfig
		listener, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatalf("suitetest: close the probe of %s: %v", addr, err)
		}
		ports.given[port] = true
		return addr
	}
	t.Fatalf("suitetest: no free port from %d to %d in %d tries", firstPort, lastPort, portTries)
	return ""
}
