package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
)

// ErrNoServer tells that there is no server and no means to start one.
var ErrNoServer = errors.New("no PostgreSQL server")

// Server is a PostgreSQL server for tests.
type Server struct {
	// URL reaches the server's maintenance database.
	URL string

	stop func() error

	mu        sync.Mutex
	templates map[string]string // by service
}

// Start finds or starts a server as the package comment says. The error is
// ErrNoServer when there is none; any other error means that one was there and
// did not work. A container that does not start (no network to fetch its image
// from) is passed over for a local cluster.
func Start(ctx context.Context) (*Server, error) {
	if given := os.Getenv(URLVariable); given != "" {
		s := &Server{URL: given, stop: func() error { return nil }}
		if err := s.sweep(ctx); err != nil {
			return nil, fmt.Errorf("use the server of %s: %w", URLVariable, err)
		}
		return s, nil
	}
	var containerErr error
	if dockerAnswers(ctx) {
		s, err := startContainer(ctx)
		if err == nil {
			return s, nil
		}
		containerErr = err
	}
	s, err := startLocal(ctx)
	if err != nil && containerErr != nil {
		return nil, fmt.Errorf("start a container: %w; start a local cluster: %w", containerErr, err)
	}
	return s, err
}

// Stop ends a server that Start started; one given by URL is left alone. A
// process that ends without it leaves no server behind either.
func (s *Server) Stop() error { return s.stop() }

// databaseURL is the server's URL with another database in it.
func (s *Server) databaseURL(name string) (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", errors.New("the server's address is not a URL") // the parser's error would show the password
	}
	u.Path = "/" + name
	return u.String(), nil
}
