package httpx

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// firstRequest is how long a stopping server waits for the first request of a
// connection: enough for one that is on its way.
const firstRequest = 250 * time.Millisecond

// CloseUnusedOnShutdown makes the server's Shutdown close connections on which
// no request has come. Clients' pools open some that they need only later, and
// by itself Shutdown waits five seconds for each. Call it before serving; it
// takes the server's ConnState.
func CloseUnusedOnShutdown(server *http.Server) {
	u := &unused{conns: map[net.Conn]struct{}{}}
	server.ConnState = u.changed
	server.RegisterOnShutdown(func() { time.AfterFunc(firstRequest, u.close) })
}

// unused are the connections on which no request has come.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (u *unused) changed(conn net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state == http.StateNew {
		u.conns[conn] = struct{}{}
		return
	}
	delete(u.conns, conn)
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.conns {
		_ = conn.Close() // closed by the other side meanwhile, or now
	}
}
