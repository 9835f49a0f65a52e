package plans

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// catalog answers with the definition it holds, as soon as it is let.
type catalog struct {
	definition string
	status     storage.VersionStatus
	wanted     catalogapi.VersionRef // of the latest question
	asked      atomic.Int64
	let        chan struct{}
}

func (c *catalog) GetVersion(ctx context.Context, id string) (catalogapi.Version, error) {
	c.asked.Add(1)
	select {
	case <-c.let:
		return catalogapi.Version{ID: id, FlowID: "flow-1", FlowName: "f", Version: 3, Status: string(c.status), DefinitionJSON: c.definition}, nil
	case <-ctx.Done():
		return catalogapi.Version{}, errs.Wrap(ctx.Err(), errs.DeadlineExceeded, "too slow")
	}
}

func (c *catalog) ResolveVersion(ctx context.Context, ref catalogapi.VersionRef) (catalogapi.Version, error) {
	c.wanted = ref
	return c.GetVersion(ctx, "ver-1")
}

func setup(t *testing.T, definition string) (*Cache, *catalog) {
	t.Helper()
	c := &catalog{definition: definition, status: storage.VersionPublished, let: make(chan struct{})}
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

func TestResolveRef_AsksByIDOrByName(t *testing.T) {
	t.Parallel()
	cache, c := setup(t, valid)
	close(c.let)
	byName, err := cache.ResolveRef(t.Context(), flow.Ref{Name: "f"})
	require.NoError(t, err)
	require.Equal(t, catalogapi.VersionRef{Name: "f"}, c.wanted)
	require.Equal(t, "a", byName.Plan.Start())
	byID, err := cache.ResolveRef(t.Context(), flow.Ref{ID: "flow-1", Version: 3})
	require.NoError(t, err)
	require.Equal(t, catalogapi.VersionRef{FlowID: "flow-1", Version: 3}, c.wanted)
	require.Same(t, byName, byID, "one version has one plan, however it was named")
}

func TestResolveRef_RefusesADraftThatResolveGives(t *testing.T) {
	t.Parallel()
	cache, c := setup(t, valid)
	c.status = storage.VersionDraft
	close(c.let)
	v, err := cache.Resolve(t.Context(), "flow-1", 3)
	require.NoError(t, err)
	require.Equal(t, storage.VersionDraft, v.Status)
	_, err = cache.ResolveRef(t.Context(), flow.Ref{Name: "f", Version: 3})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	require.ErrorContains(t, err, `the flow "f" has no published version 3`)
}

func TestResolveRef_LetsGoOfACatalogThatNeverAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cache, _ := setup(t, valid)
		begun := time.Now()
		_, err := cache.ResolveRef(t.Context(), flow.Ref{Name: "f"})
		require.Equal(t, errs.DeadlineExceeded, errs.CodeOf(err))
		require.Equal(t, askTimeout, time.Since(begun))
	})
}

// gated answers one question at a time, when it is let.
type gated struct {
	catalog
	number atomic.Int64 // of the newest version
	asks   chan struct{}
}

func (c *gated) ResolveVersion(_ context.Context, _ catalogapi.VersionRef) (catalogapi.Version, error) {
	n := int(c.number.Load())
	c.asked.Add(1)
	<-c.asks
	return catalogapi.Version{ID: fmt.Sprint("ver-", n), FlowID: "flow-1", Version: n, Status: string(storage.VersionPublished), DefinitionJSON: valid}, nil
}

// Whoever asks after a version was published sees it, though a question from
// before is still on its way; and all who ask meanwhile share one.
func TestResolve_NeverGivesAnAnswerOlderThanTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &gated{asks: make(chan struct{})}
		c.number.Store(1)
		cache, err := NewCache(c, 2)
		require.NoError(t, err)
		resolve := func() <-chan int {
			got := make(chan int, 1)
			go func() {
				v, _ := cache.Resolve(context.Background(), "flow-1", 0)
				got <- v.Number
			}()
			synctest.Wait()
			return got
		}
		first := resolve()
		c.number.Store(2)
		later := []<-chan int{resolve(), resolve(), resolve()}
		c.asks <- struct{}{}
		require.Equal(t, 1, <-first)
		c.asks <- struct{}{}
		for _, got := range later {
			require.Equal(t, 2, <-got)
		}
		require.EqualValues(t, 2, c.asked.Load())

		again := resolve()
		c.asks <- struct{}{}
		require.Equal(t, 2, <-again)
	})
}

func TestResolve_LeavesAQuestionWithItsCaller(t *testing.T) {
	t.Parallel()
	c := &gated{asks: make(chan struct{})}
	cache, err := NewCache(c, 2)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cache.Resolve(ctx, "flow-1", 0)
	require.ErrorIs(t, err, context.Canceled)
	c.asks <- struct{}{}
}
