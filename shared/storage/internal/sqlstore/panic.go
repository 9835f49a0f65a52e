package sqlstore

import (
	"fmt"
	"runtime/debug"
)

// Panicked is the error of a batch whose code panicked, made while its stack is
// there to be told. Those who merge the work of several callers recover, so that
// one of them cannot take the others with it.
func Panicked(cause any) error {
	return fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
}
