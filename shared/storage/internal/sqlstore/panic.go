package sqlstore

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var errPanic = errors.New("panic")

// Panicked is the error of a batch whose code panicked, made while its stack is
// there to be told. Those who merge the work of several callers recover, so that
// one of them cannot take the others with it.
func Panicked(cause any) error {
	return fmt.Errorf("%w: %v\n%s", errPanic, cause, debug.Stack())
}
