//go:build unix

package suitetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// readyTimeout bounds the start of a server: migrations and a busy machine.
const readyTimeout = 30 * time.Second

// Server is a process that listens.
type Server struct {
	*Process
	Addr string // host:port
	URL  string

	command Command
}

// Serve starts a server at an address of this machine and waits until it is
// ready. The command has no address of its own.
func Serve(t testing.TB, addr string, c Command) *Server {
	t.Helper()
	c.Args = append(c.Args[:len(c.Args):len(c.Args)], "--addr="+addr)
	s := &Server{Process: Start(t, c), Addr: addr, URL: "http://" + addr, command: c}
	s.AwaitReady(t)
	return s
}

// Restart starts a server that has ended with the same command line, so on the
// same port and data, and waits until it is ready. It ends with the test that
// started it first.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.start(s.command)
	s.AwaitReady(t)
}

// AwaitReady waits until the server says that it is ready.
func (s *Server) AwaitReady(t testing.TB) {
	t.Helper()
	Await(t, readyTimeout, func() error {
		select {
		case <-s.Ended():
			t.Fatalf("suitetest: %s has ended: %s", s.name, tail(s.Stderr()))
		default:
		}
		return ready(t.Context(), s.URL)
	})
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %w", url, errors.New(response.Status))
	}
	return nil
}
