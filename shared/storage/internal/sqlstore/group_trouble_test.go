package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// spoiled is a batch method that fails as soon as one item is bad.
type spoiled struct {
	gate
	bad  int
	fail func() error
}

func (s *spoiled) run(ctx context.Context, items []int) ([]int, error) {
	outs, err := s.gate.run(ctx, items)
	if slices.Contains(items, s.bad) {
		if err := s.fail(); err != nil {
			return nil, err
		}
	}
	return outs, err
}

// callers lets six callers meet, one by one: the first goes alone, the others
// are merged. Each one's error is there after the wait.
func (s *spoiled) callers(t *testing.T, group *group[int, int]) (errs []error, wait func()) {
	t.Helper()
	s.proceed = make(chan struct{})
	errs = make([]error, 6)
	var callers sync.WaitGroup
	for i := range errs {
		callers.Go(func() {
			var outs []int
			if outs, errs[i] = group.Do(t.Context(), []int{i, 100 + i}); errs[i] == nil {
				assert.Equal(t, []int{2 * i, 200 + 2*i}, outs)
			}
		})
		synctest.Wait()
	}
	close(s.proceed)
	return errs, callers.Wait
}

func TestGroup_RefusedDataFailsItsOwnCallerOnly(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"refused": func() error { return fmt.Errorf("insert: %w", storage.ErrInvalidData) },
		"panic":   func() error { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				method := &spoiled{bad: 3, fail: fail}
				group := newGroup(1, method.run)
				errs, wait := method.callers(t, group)
				wait()
				for i, err := range errs {
					require.Equal(t, i == method.bad, err != nil, "caller %d: %v", i, err)
				}
				require.Len(t, method.batches, 1+1+5, "the lone one, the merged one, and each of its callers")
				require.Zero(t, group.active)

				_, err := group.Do(t.Context(), []int{method.bad})
				require.Error(t, err)
				require.Len(t, method.batches, 8, "alone from the start it is not tried twice")
				_, err = group.Do(t.Context(), []int{4})
				require.NoError(t, err)
			})
		})
	}
}

func TestGroup_AnOutageIsNotTriedForEachCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		method := &spoiled{bad: 3, fail: func() error { return errors.New("connection lost") }}
		errs, wait := method.callers(t, newGroup(1, method.run))
		wait()
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.ErrorContains(t, err, "connection lost")
		}
		require.Len(t, method.batches, 2)
	})
}

// A row that somebody else holds locked keeps its own caller waiting, and
// neither those who were merged with it nor those who come after them.
func TestGroup_ALockedRowHoldsUpItsOwnCallerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		locked := true
		method := &spoiled{bad: 3, fail: func() error {
			mu.Lock()
			defer mu.Unlock()
			if locked {
				return ErrRowsLocked
			}
			return nil
		}}
		group := newGroup(1, method.run)
		errs, wait := method.callers(t, group)
		synctest.Wait() // only the one with the locked row is left
		_, err := group.Do(t.Context(), []int{7})
		require.NoError(t, err)
		require.Zero(t, group.active)

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = group.Do(short, []int{method.bad})
		require.ErrorIs(t, err, ErrRowsLocked, "until its own deadline")

		mu.Lock()
		locked = false
		mu.Unlock()
		wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
}
