package plans

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// catalog answers with the definition it holds, as soon as it is let.
type catalog struct {
	definition string
	asked      atomic.Int64
	let        chan struct{}
}

func (c *catalog) GetVersion(ctx context.Context, id string) (catalogapi.Version, error) {
	c.asked.Add(1)
	select {
	case <-c.let:
		return catalogapi.Version{ID: id, FlowID: "flow-1", FlowName: "f", Version: 3, Status: "published", DefinitionJSON: c.definition}, nil
	case <-ctx.Done():
		return catalogapi.Version{}, errs.Wrap(ctx.Err(), errs.DeadlineExceeded, "too slow")
	}
}

func (c *catalog) ResolveVersion(ctx context.Context, _ string, _ int) (catalogapi.Version, error) {
	return c.GetVersion(ctx, "ver-1")
}

func setup(t *testing.T, definition string) (*Cache, *catalog) {
	t.Helper()
	c := &catalog{definition: definition, let: make(chan struct{})}
	cache, err := NewCache(c, 2)
	require.NoError(t, err)
	return cache, c
}

const valid = `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"}}}`

func TestGet_AsksOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cache, c := setup(t, valid)
		got := make(chan *Version, 10)
		for range 10 {
			go func() {
				v, _ := cache.Get(context.Background(), "ver-1")
				got <- v
			}()
		}
		synctest.Wait()
		close(c.let)
		first := <-got
		require.Equal(t, 3, first.Number)
		require.Equal(t, "a", first.Plan.Start())
		for range 9 {
			require.Same(t, first, <-got)
		}
		again, err := cache.Resolve(t.Context(), "flow-1", 0)
		require.NoError(t, err)
		require.Same(t, first, again, "what was resolved is compiled already")
		require.Equal(t, int64(2), c.asked.Load())
	})
}

func TestGet_LetsGoOfACatalogThatNeverAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cache, _ := setup(t, valid)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := cache.Get(ctx, "ver-1")
			ended <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled, "whoever waits may go")

		begun := time.Now()
		_, err := cache.Get(t.Context(), "ver-1")
		require.Equal(t, errs.DeadlineExceeded, errs.CodeOf(err))
		require.LessOrEqual(t, time.Since(begun), askTimeout)
	})
}

func TestGet_OfADefinitionThatCannotBeReadIsAnInternalError(t *testing.T) {
	t.Parallel()
	cache, c := setup(t, `{"start":"a"`)
	close(c.let)
	_, err := cache.Get(t.Context(), "ver-1")
	require.Equal(t, errs.Internal, errs.CodeOf(err))
}
