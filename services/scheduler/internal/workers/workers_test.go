package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
)

func newPool(noWorkerWait time.Duration, online ...registryapi.Worker) *Pool {
	p := NewPool(Config{MaxPerWorker: 100, NoWorkerWait: noWorkerWait}, nil, zap.NewNop())
	p.update(online)
	return p
}

func pushWorker(id string, load, limit int) registryapi.Worker {
	return registryapi.Worker{ID: id, URL: "http://" + id, Type: "http", Services: []string{"s"}, Load: load, MaxConcurrency: limit}
}

func pick(t *testing.T, p *Pool, want Want) *Taken {
	t.Helper()
	want.Service = "s"
	taken, err := p.Pick(t.Context(), want)
	require.NoError(t, err)
	return taken
}

func TestPick_TakesTurns(t *testing.T) {
	t.Parallel()
	p := newPool(0, pushWorker("a", 9, 0), pushWorker("b", 0, 0))
	seen := map[string]int{}
	for range 10 {
		taken := pick(t, p, Want{Order: RoundRobin})
		seen[taken.ID]++
		taken.Done()
	}
	require.Equal(t, map[string]int{"a": 5, "b": 5}, seen)
}

func TestPick_TakesTheLeastLoaded(t *testing.T) {
	t.Parallel()
	p := newPool(0, pushWorker("a", 3, 0), pushWorker("b", 1, 0))
	require.Equal(t, "b", pick(t, p, Want{Order: LeastLoaded}).ID)
	require.Equal(t, "b", pick(t, p, Want{Order: LeastLoaded}).ID)
	pick(t, p, Want{Order: LeastLoaded, Tried: map[string]bool{"a": true}})
	require.Equal(t, "a", pick(t, p, Want{Order: LeastLoaded}).ID, "in flight here counts on top of the reported load")
}

func TestPick_BreaksTiesByChance(t *testing.T) {
	t.Parallel()
	p := newPool(0, pushWorker("a", 0, 0), pushWorker("b", 0, 0), pushWorker("c", 0, 0))
	seen := map[string]bool{}
	for range 200 {
		taken := pick(t, p, Want{Order: LeastLoaded})
		seen[taken.ID] = true
		taken.Done()
	}
	require.Len(t, seen, 3)
}

func TestPick_PassesOverTriedAndFinallyFails(t *testing.T) {
	t.Parallel()
	p := newPool(time.Hour, pushWorker("a", 0, 0), pushWorker("b", 0, 0))
	require.Equal(t, "b", pick(t, p, Want{Tried: map[string]bool{"a": true}}).ID)
	_, err := p.Pick(t.Context(), Want{Service: "s", Tried: map[string]bool{"a": true, "b": true}})
	require.ErrorIs(t, err, ErrTriedAll)
}

// A worker that has just died is online to the registry for a while.
func TestPick_WaitsForWorkersThatRefuseAsForNone(t *testing.T) {
	t.Parallel()
	const wait = 8 * time.Second
	// refusedBy has every worker that Pick gives refuse, until it gives none.
	refusedBy := func(t *testing.T, p *Pool) (tries int, took time.Duration) {
		start, want := time.Now(), Want{Service: "s", Tried: map[string]bool{}}
		for {
			taken, err := p.Pick(t.Context(), want)
			if err != nil {
				require.ErrorIs(t, err, ErrTriedAll)
				return tries, time.Since(start)
			}
			tries++
			want.Tried[taken.ID] = true
			taken.SetAside()
			taken.Done()
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPool(wait, pushWorker("a", 0, 0), pushWorker("b", 0, 0))
		tries, took := refusedBy(t, p)
		require.Equal(t, wait, took)
		require.Equal(t, 2*(1+int(wait/tryAgain)), tries, "each of them, again and again")
		tries, took = refusedBy(t, p)
		require.Zero(t, took, "the first ones have waited")
		require.Equal(t, 2, tries)

		pick(t, p, Want{}).Done() // which answers that it is full, say
		_, took = refusedBy(t, p)
		require.Zero(t, took)
		taken := pick(t, p, Want{})
		taken.Took() // one is back
		taken.Done()
		_, took = refusedBy(t, p)
		require.Equal(t, wait, took)

		time.Sleep(wait + time.Second) //nolint:forbidigo // the fake clock moves only by sleeping
		_, took = refusedBy(t, p)
		require.Equal(t, wait, took, "what was long ago is another matter")
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPool(wait, pushWorker("a", 0, 0))
		tried := map[string]bool{"a": true}
		refusing := pick(t, p, Want{})
		refusing.SetAside()
		refusing.Done()
		time.AfterFunc(wait/2, func() { p.update([]registryapi.Worker{pushWorker("a", 0, 0), pushWorker("new", 0, 0)}) })
		for start := time.Now(); ; {
			taken := pick(t, p, Want{Tried: tried})
			if taken.ID == "new" {
				require.LessOrEqual(t, time.Since(start), wait/2+tryAgain)
				return
			}
			tried[taken.ID] = true
			taken.SetAside()
			taken.Done()
		}
	})
}

func TestPick_IgnoresWorkersThatAreNotPushed(t *testing.T) {
	t.Parallel()
	puller := pushWorker("q", 0, 0)
	puller.Type = "async"
	_, err := newPool(0, puller).Pick(t.Context(), Want{Service: "s"})
	require.ErrorIs(t, err, ErrNone)
}

func TestPick_PassesOverAWorkerThatRefusedUntilThereIsNoOther(t *testing.T) {
	t.Parallel()
	p := newPool(0, pushWorker("a", 0, 0), pushWorker("b", 0, 0))
	taken := pick(t, p, Want{Tried: map[string]bool{"b": true}})
	taken.SetAside()
	taken.Done()
	for range 5 {
		require.Equal(t, "b", pick(t, p, Want{}).ID)
	}
	require.Equal(t, "a", pick(t, p, Want{Tried: map[string]bool{"b": true}}).ID)
}

func TestPick_WaitsForAPlaceInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(time.Second, pushWorker("a", 0, 1))
		first := pick(t, p, Want{})
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				taken, err := p.Pick(context.Background(), Want{Service: "s"})
				if err == nil {
					order <- i
					taken.Done()
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Hour) //nolint:forbidigo // the fake clock moves only by sleeping: a full worker is waited for without bound
		first.Done()
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2}, []int{<-order, <-order, <-order})
	})
}

func TestPick_ThatGivesUpHandsItsTurnOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(time.Second, pushWorker("a", 0, 1))
		first := pick(t, p, Want{})
		ctx, cancel := context.WithCancel(t.Context())
		gone, got := make(chan error, 1), make(chan *Taken, 1)
		go func() {
			_, err := p.Pick(ctx, Want{Service: "s"})
			gone <- err
		}()
		synctest.Wait()
		go func() {
			taken, _ := p.Pick(context.Background(), Want{Service: "s"})
			got <- taken
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		first.Done()
		require.Equal(t, "a", (<-got).ID)
	})
}

func TestPick_WaitsAMomentForAFirstWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(8 * time.Second)
		begun := time.Now()
		_, err := p.Pick(t.Context(), Want{Service: "s"})
		require.ErrorIs(t, err, ErrNone)
		require.Equal(t, 8*time.Second, time.Since(begun))
		_, err = p.Pick(t.Context(), Want{Service: "s"})
		require.ErrorIs(t, err, ErrNone)
		require.Equal(t, 8*time.Second, time.Since(begun), "that there is none is known by now")

		p.update([]registryapi.Worker{pushWorker("a", 0, 0)})
		pick(t, p, Want{}).Done()
		p.update(nil)
		got := make(chan *Taken, 1)
		go func() {
			taken, _ := p.Pick(context.Background(), Want{Service: "s"})
			got <- taken
		}()
		synctest.Wait()
		time.Sleep(7 * time.Second) //nolint:forbidigo // the fake clock moves only by sleeping
		p.update([]registryapi.Worker{pushWorker("a", 0, 0)})
		require.Equal(t, "a", (<-got).ID, "one that has left may come back")
	})
}

func TestUpdate_KeepsTheCountsOfWorkersThatStay(t *testing.T) {
	t.Parallel()
	p := newPool(0, pushWorker("a", 0, 0), pushWorker("b", 0, 0))
	held := pick(t, p, Want{Tried: map[string]bool{"b": true}})
	p.update([]registryapi.Worker{pushWorker("a", 0, 0), pushWorker("b", 0, 0)})
	require.Equal(t, "b", pick(t, p, Want{Order: LeastLoaded}).ID)
	held.Done()
}

// registry answers snapshots from a script and then fails.
type registry struct{ answers chan registryapi.Snapshot }

func (r registry) Snapshot(ctx context.Context, _ string, _ time.Duration) (registryapi.Snapshot, error) {
	select {
	case s, ok := <-r.answers:
		if !ok {
			return registryapi.Snapshot{}, errors.New("away")
		}
		return s, nil
	case <-ctx.Done():
		return registryapi.Snapshot{}, ctx.Err()
	}
}

func TestRun_ServesOnWithTheLastSnapshotWhileTheRegistryIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan registryapi.Snapshot)
		p := NewPool(Config{MaxPerWorker: 1, NoWorkerWait: time.Second}, registry{answers}, zap.NewNop())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.Run(ctx)
		}()
		early := make(chan *Taken, 1)
		go func() {
			taken, _ := p.Pick(context.Background(), Want{Service: "s"})
			early <- taken
		}()
		time.Sleep(time.Minute) //nolint:forbidigo // fake clock: before the first snapshot nobody knows that there is no worker
		require.Empty(t, early)
		answers <- registryapi.Snapshot{Version: "1", Workers: []registryapi.Worker{pushWorker("a", 0, 0)}}
		taken := <-early
		require.Equal(t, "a", taken.ID)
		taken.Done()

		close(answers)
		time.Sleep(time.Minute) //nolint:forbidigo // fake clock: a minute of failing polls
		require.Equal(t, "a", pick(t, p, Want{}).ID)
		cancel()
		<-ended
	})
}
