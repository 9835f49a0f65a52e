package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestCloseUnusedOnShutdown_DoesNotWaitForConnectionsWithoutARequest(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler()}
	CloseUnusedOnShutdown(server)
	track := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		track(conn, state)
		if state == http.StateNew {
			close(seen)
		}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving errgroup.Group
	serving.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	<-seen

	// Shutdown alone takes the connection for idle after five seconds.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	require.NoError(t, server.Shutdown(ctx))
	require.NoError(t, serving.Wait())
}
