//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// localTimeout bounds initdb and start together: about a second on an
	// idle machine, and patience for a busy one.
	localTimeout = time.Minute
	// localAttempts is how often another port is tried: a free one can be
	// taken between the choice and the start.
	localAttempts = 3
)

// localScript makes, serves and at the end deletes the cluster.
//
//go:embed local.sh
var localScript string

// startLocal serves a throwaway cluster from the machine's own PostgreSQL.
func startLocal(ctx context.Context) (*Server, error) {
	bin, err := localPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := clusterOwner()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	for range localAttempts {
		var s *Server
		if s, err = serveCluster(ctx, bin, owner); err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("serve a throwaway cluster with %s: %w", bin, err)
}

// localPrograms finds the folder with initdb and postgres: on PATH, else the
// newest of Debian's.
func localPrograms() (string, error) {
	var folders []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(initdb))
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	slices.SortFunc(versions, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
	for _, folder := range append(folders, versions...) {
		if executable(filepath.Join(folder, "initdb")) && executable(filepath.Join(folder, "postgres")) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("%w: no Docker engine answers, and there is no initdb on PATH or in /usr/lib/postgresql", ErrNoServer)
}

func majorVersion(folder string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	if err != nil {
		return 0
	}
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// clusterOwner is who runs the server: nil for the user of the process, or,
// as PostgreSQL refuses to run as root, another user.
func clusterOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("%w: running as root, and there is no user postgres to run it as", ErrNoServer)
}

func serveCluster(ctx context.Context, bin string, owner *syscall.Credential) (*Server, error) {
	dir, err := clusterFolder(owner)
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	password := rand.Text()
	if err := writePassword(dir, password, owner); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}

	args := append([]string{"-c", localScript, "pgtest", bin, dir, port}, serverSettings()...)
	// The context bounds the start; the server outlives it.
	script := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", args...)
	script.Dir = dir
	script.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + dir}
	// A group of its own: the terminal's interrupt is for the test process,
	// whose end the script sees by its standard input.
	script.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
	complaint := &bytes.Buffer{}
	script.Stderr = complaint
	life, err := script.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the cluster: %w", err), os.RemoveAll(dir))
	}
	if err := script.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the cluster: %w", err), os.RemoveAll(dir))
	}
	ended := make(chan struct{})
	go func() { // ends with the script, which ends with this process or by stop
		defer close(ended)
		_ = script.Wait() // a failed start is told by the complaint
	}()
	stop := stopper(life, ended)

	socket := fmt.Sprintf("host=%s port=%s user=postgres password=%s dbname=postgres sslmode=disable", dir, port, password)
	if err := waitReady(ctx, socket, ended); err != nil {
		stopErr := stop()
		return nil, errors.Join(err, stopErr, errors.New(strings.TrimSpace(complaint.String())))
	}
	return &Server{
		URL:  fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%s/postgres?sslmode=disable", password, port),
		stop: stop,
	}, nil
}

// stopper ends the script as the end of this process does, and waits for it.
func stopper(life io.Closer, ended <-chan struct{}) func() error {
	return func() error {
		_ = life.Close() // closed before, or by the end of the script: both are the aim
		select {
		case <-ended:
			return nil
		case <-time.After(localTimeout):
			return errors.New("the server does not stop")
		}
	}
}

// clusterFolder makes the folder for data and socket. Root's own temporary
// folder may be closed to the cluster's owner, so that goes to /tmp; a short
// path is also what a socket needs.
func clusterFolder(owner *syscall.Credential) (string, error) {
	parent := ""
	if owner != nil {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "pocketflow-pg-")
	if err != nil {
		return "", fmt.Errorf("make the cluster's folder: %w", err)
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return "", errors.Join(fmt.Errorf("hand over the cluster's folder: %w", err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// writePassword leaves the password for initdb to read: the port is open to
// every user of the machine.
func writePassword(dir, password string, owner *syscall.Credential) error {
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	if owner == nil {
		return nil
	}
	if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("hand over the password: %w", err)
	}
	return nil
}

func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// waitReady asks over the socket in our own folder: on the port another server
// might answer.
func waitReady(ctx context.Context, dsn string, ended <-chan struct{}) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", ctx.Err())
		case <-tick.C:
		}
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
	}
}
