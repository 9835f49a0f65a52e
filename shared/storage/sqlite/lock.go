package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// lockFile makes the database's directory and takes the lock beside the file.
// The system gives the lock back when the process ends, however it ends. The
// lock file itself stays: deleting it would let two processes lock two files
// of one name.
func lockFile(path string) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the database directory: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
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
	return &fileLock{file: lock}, nil
}

// fileLock is a lock that is held.
type fileLock struct{ file *os.File }

// release gives the lock back. Closing alone would not while a child that is
// being started still has a copy of the descriptor.
func (l *fileLock) release() error {
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}
