package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

// counted executes by counting; a delivery that finds an answer gets the
// number of the execution that made it.
func counted(n *int) func(context.Context) (answer, error) {
	return func(context.Context) (answer, error) {
		*n++
		return answer{Result: json.RawMessage(fmt.Sprint(*n))}, nil
	}
}

func newTestDeliveries(t *testing.T) *deliveries {
	t.Helper()
	d, err := newDeliveries()
	require.NoError(t, err)
	return d
}

func (d *deliveries) mustDo(t *testing.T, runID string, execute func(context.Context) (answer, error)) string {
	t.Helper()
	a, err := d.do(t.Context(), runID, execute)
	require.NoError(t, err)
	return string(a.Result)
}

func TestDeliveries_RememberForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, n := newTestDeliveries(t), 0
		require.Equal(t, "1", d.mustDo(t, "run", counted(&n)))
		require.True(t, pause.For(t.Context(), rememberFor-time.Second))
		require.Equal(t, "1", d.mustDo(t, "run", counted(&n)))
		require.True(t, pause.For(t.Context(), time.Second))
		require.Equal(t, "2", d.mustDo(t, "run", counted(&n)))
		require.Equal(t, "2", d.mustDo(t, "run", counted(&n)))
		require.Equal(t, 1, d.bytes)
	})
}

func TestDeliveries_ExecuteRunsWithoutAnIDEachTime(t *testing.T) {
	t.Parallel()
	d, n := newTestDeliveries(t), 0
	require.Equal(t, "1", d.mustDo(t, "", counted(&n)))
	require.Equal(t, "2", d.mustDo(t, "", counted(&n)))
}

func TestDeliveries_KeepWithinTheirBytes(t *testing.T) {
	t.Parallel()
	d := newTestDeliveries(t)
	large := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	for i := range 100 {
		d.mustDo(t, fmt.Sprint(i), func(context.Context) (answer, error) { return answer{Result: large}, nil })
	}
	require.LessOrEqual(t, d.bytes, rememberBytes)
	require.Equal(t, d.bytes, d.recent.Len()*len(large))
	require.Empty(t, d.running)
}

func TestDeliveries_DoNotRememberWhatCouldNotStart(t *testing.T) {
	t.Parallel()
	d, n := newTestDeliveries(t), 0
	busy := errors.New("busy")
	_, err := d.do(t.Context(), "run", func(context.Context) (answer, error) { return answer{}, busy })
	require.ErrorIs(t, err, busy)
	require.Equal(t, "1", d.mustDo(t, "run", counted(&n)))
}

func TestDeliveries_FailureOfARunThatWasGivenUpIsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, n := newTestDeliveries(t), 0
		ctx, hangUp := context.WithCancel(t.Context())
		release := make(chan struct{})
		go func() {
			_, _ = d.do(ctx, "run", func(running context.Context) (answer, error) {
				<-running.Done()
				<-release
				return failure(running.Err()), nil
			})
		}()
		synctest.Wait()
		hangUp()
		synctest.Wait()

		// The second delivery comes while the first is still ending.
		got := make(chan string, 1)
		go func() {
			a, err := d.do(t.Context(), "run", counted(&n))
			got <- string(a.Result) + fmt.Sprint(err)
		}()
		synctest.Wait()
		require.Empty(t, got)
		close(release)
		require.Equal(t, "1<nil>", <-got)
	})
}

func TestDeliveries_GoOnWhileAnyCallerWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, n := newTestDeliveries(t), 0
		ctx, hangUp := context.WithCancel(t.Context())
		release := make(chan struct{})
		go func() {
			_, _ = d.do(ctx, "run", func(running context.Context) (answer, error) {
				<-release
				return answer{Result: json.RawMessage(fmt.Sprintf("%t", running.Err() == nil))}, nil
			})
		}()
		synctest.Wait()
		got := make(chan string, 1)
		go func() {
			a, err := d.do(t.Context(), "run", counted(&n))
			got <- string(a.Result) + fmt.Sprint(err)
		}()
		synctest.Wait()
		hangUp()
		synctest.Wait()
		close(release)
		require.Equal(t, "true<nil>", <-got, "not given up")
	})
}
