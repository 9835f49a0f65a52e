package sqlstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gate is a batch method that doubles numbers, and waits when it is told to.
type gate struct {
	mu      sync.Mutex
	batches [][]int
	merged  []int         // callers of each batch, as the driver is told
	proceed chan struct{} // nil: do not wait
	err     error
}

func (g *gate) run(ctx context.Context, items []int) ([]int, error) {
	g.mu.Lock()
	g.batches = append(g.batches, items)
	g.merged = append(g.merged, Merged(ctx))
	g.mu.Unlock()
	if g.proceed != nil {
		<-g.proceed
	}
	if g.err != nil {
		return nil, g.err
	}
	outs := make([]int, len(items))
	for i, item := range items {
		outs[i] = 2 * item
	}
	return outs, nil
}

func TestGroup_LetsALoneCallerGoAtOnce(t *testing.T) {
	t.Parallel()
	gate := &gate{}
	outs, err := newGroup(1, gate.run).Do(t.Context(), []int{1, 2})
	require.NoError(t, err)
	require.Equal(t, []int{2, 4}, outs)
}

func TestGroup_MergesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &gate{proceed: make(chan struct{})}
		group := newGroup(1, gate.run)
		var callers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() {
				outs, err := group.Do(t.Context(), []int{i, 10 * i})
				assert.NoError(t, err)
				assert.Equal(t, []int{2 * i, 20 * i}, outs)
			})
			synctest.Wait()
		}
		close(gate.proceed)
		callers.Wait()
		require.Equal(t, [][]int{{0, 0}, {1, 10, 2, 20, 3, 30, 4, 40}}, gate.batches)
		require.Equal(t, []int{1, 4}, gate.merged)
	})
}

func TestGroup_GathersAsMuchCompanyAsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const took = 4 * time.Millisecond
		gate := &gate{}
		group := newGroup(1, func(ctx context.Context, items []int) ([]int, error) {
			time.Sleep(took) //nolint:forbidigo // on a fake clock
			return gate.run(ctx, items)
		})
		var callers sync.WaitGroup
		began := time.Now()
		come := func(after time.Duration) {
			callers.Go(func() {
				time.Sleep(after) //nolint:forbidigo // on a fake clock
				_, err := group.Do(t.Context(), []int{1})
				assert.NoError(t, err)
			})
		}
		finished := func() time.Duration {
			callers.Wait()
			defer func() { began = time.Now() }()
			return time.Since(began)
		}
		for ms := range 4 {
			come(time.Duration(ms) * time.Millisecond)
		}
		require.Equal(t, 2*took, finished(), "one, and the three that came meanwhile")
		for ms := range 3 {
			come(time.Duration(ms) * time.Millisecond)
		}
		require.Equal(t, 2*time.Millisecond+took, finished(), "the third completes them")
		come(0)
		come(1 * time.Millisecond)
		require.Equal(t, took+took, finished(), "no third comes")
		come(0)
		require.Equal(t, took+took, finished(), "no second comes")
		come(0)
		require.Equal(t, took, finished(), "nobody was with the last")
		require.Equal(t, []int{1, 3, 3, 2, 1, 1}, gate.merged)
	})
}

func TestGroup_KeepsBatchesWithinTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &gate{proceed: make(chan struct{})}
		group := newGroup(1, gate.run)
		var callers sync.WaitGroup
		for _, size := range []int{1, 200, 100, 1, 400} {
			callers.Go(func() {
				outs, err := group.Do(t.Context(), make([]int, size))
				assert.NoError(t, err)
				assert.Len(t, outs, size)
			})
			synctest.Wait()
		}
		close(gate.proceed)
		callers.Wait()
		var sizes []int
		for _, batch := range gate.batches {
			sizes = append(sizes, len(batch))
		}
		require.Equal(t, []int{1, 200, 101, 400}, sizes)
	})
}

func TestGroup_GivesAnErrorToEveryMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &gate{proceed: make(chan struct{}), err: errors.New("gone")}
		group := newGroup(1, gate.run)
		var callers sync.WaitGroup
		for i := range 4 {
			callers.Go(func() {
				_, err := group.Do(t.Context(), []int{i})
				assert.ErrorIs(t, err, gate.err)
			})
		}
		synctest.Wait()
		close(gate.proceed)
		callers.Wait()
	})
}

func TestGroup_WithdrawsACallerThatGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &gate{proceed: make(chan struct{})}
		group := newGroup(1, gate.run)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			_, err := group.Do(t.Context(), []int{1})
			assert.NoError(t, err)
		})
		synctest.Wait()
		callers.Go(func() {
			_, err := group.Do(ctx, []int{2})
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		callers.Go(func() {
			_, err := group.Do(t.Context(), []int{3})
			assert.NoError(t, err)
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate.proceed)
		callers.Wait()
		require.Equal(t, [][]int{{1}, {3}}, gate.batches)
	})
}

func TestGroup_HandsOnATurnThatCameTooLate(t *testing.T) {
	t.Parallel()
	gate := &gate{}
	group := newGroup(1, gate.run)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	// Its turn and its end come at once; whichever it sees, the next caller
	// must find the pipeline free.
	for range 100 {
		_, err := group.Do(canceled, []int{1})
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		_, err = group.Do(t.Context(), []int{2})
		require.NoError(t, err)
	}
}
