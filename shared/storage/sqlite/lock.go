package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// use is what a process holds a database file for. The holder writes it into
// the lock file, for those whom the lock keeps out.
type use string

const (
	serving   use = "serving"   // until the process ends
	migrating use = "migrating" // for a moment
	copying   use = "copying"   // as a whole, to another database or from one
)

const (
	lockRetry = 10 * time.Millisecond
	// migrationWait bounds the wait for another's migration.
	migrationWait = 5 * time.Minute
	// unsaidWait bounds the wait for a holder that has not written what it does.
	unsaidWait = time.Second
)

// lockFile takes the lock of a database file. It waits while another process
// migrates the file; ErrLocked when another serves from it.
func lockFile(ctx context.Context, path string, purpose use) (*fileLock, error) {
	start := time.Now()
	heard := start // when the holder last said that it migrates, or nothing yet
	for {
		lock, err := tryLock(path, purpose)
		if !errors.Is(err, storage.ErrLocked) {
			return lock, err
		}
		switch said, _ := os.ReadFile(lockName(path)); use(said) {
		case serving, copying:
			return nil, err
		case migrating:
			heard = time.Now()
		}
		// Between two migrations nobody says anything for a moment.
		silent := time.Since(heard) > unsaidWait
		if silent || time.Since(start) > migrationWait || !pause.For(ctx, lockRetry) {
			return nil, err
		}
	}
}

func lockName(path string) string { return path + ".lock" }

// tryLock makes the database's directory and takes the lock beside the file.
// The system gives the lock back when the process ends, however it ends. The
// lock file itself stays: deleting it would let two processes lock two files
// of one name.
func tryLock(path string, purpose use) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the database directory: %w", err)
	}
	lock, err := os.OpenFile(lockName(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the database directory is not writable: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s (SQLite serves one process; for several use Postgres)", storage.ErrLocked, path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	held := &fileLock{file: lock}
	if err := held.say(purpose); err != nil {
		return nil, errors.Join(err, held.release())
	}
	return held, nil
}

// fileLock is a lock that is held.
type fileLock struct{ file *os.File }

// say writes what the lock is held for over what the holder before said.
func (l *fileLock) say(purpose use) error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(purpose), 0)
	}
	if err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	return nil
}

// release gives the lock back. Closing alone would not while a child that is
// being started still has a copy of the descriptor.
func (l *fileLock) release() error {
	return errors.Join(l.file.Truncate(0), syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}
