package postgres

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// line stands between a driver and its server, and can fall silent without
// closing, as when the server's machine loses its network.
type line struct {
	url    string
	silent atomic.Bool
}

func newLine(t *testing.T, server string) *line {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	address := u.Host
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = listener.Addr().String()

	l := &line{url: u.String()}
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	ctx := t.Context()
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			work.Go(func() { l.carry(client, server) })
			work.Go(func() { l.carry(server, client) })
		}
	})
	return l
}

// carry hands on what it reads until either side closes.
func (l *line) carry(from io.ReadCloser, to io.WriteCloser) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if l.silent.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
