//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// serve starts a process of the system. Where profiles are wanted it has an
// address for them.
func (s *system) serve(b *testing.B, addr string, c suitetest.Command) *suitetest.Server {
	b.Helper()
	if *profiles != "" && !s.isFloor() {
		admin := suitetest.Addr(b)
		c.Args = append(c.Args, "--admin-addr="+admin)
		s.admins = append(s.admins, adminAddr{of: c.Program, addr: admin})
	}
	server := suitetest.Serve(b, addr, c)
	s.servers = append(s.servers, server)
	return server
}

// adminAddr is where a process serves its profiles.
type adminAddr struct {
	of   suitetest.Program
	addr string
}

// profile has each process of the system write a profile of its processor time
// in what is measured next. The function that it returns waits for them.
func (s *system) profile(b *testing.B, name string, d time.Duration) (wait func()) {
	b.Helper()
	require.NoError(b, os.MkdirAll(*profiles, 0o750))
	seconds := max(1, int(d.Seconds()))
	var fetching errgroup.Group
	for i, admin := range s.admins {
		path := filepath.Join(*profiles, fileName(fmt.Sprintf("%s %s %s %s %d", b.Name(), name, s.setup, admin.of, i))+".pprof")
		fetching.Go(func() error {
			return fetch(b.Context(), fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin.addr, seconds), path)
		})
	}
	return func() { require.NoError(b, fetching.Wait(), "profiles of %s", s.setup) }
}

// fileName leaves of a name what is fit for files everywhere.
func fileName(name string) string {
	name = strings.TrimPrefix(name, "BenchmarkWorks/")
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(" ,/", r) }), "_")
}

func fetch(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return os.WriteFile(path, data, 0o644)
}
