package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// completions serves POST /queue/complete and keeps how many answers each call
// brought.
type completions struct {
	mu    sync.Mutex
	sizes []int
	fail  error // of batches
}

func (c *completions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch queueapi.CompleteBatch
	_ = json.NewDecoder(r.Body).Decode(&batch)
	if batch.Completions == nil {
		c.sizes = append(c.sizes, 1)
		_ = httpx.WriteJSON(w, http.StatusOK, queueapi.OK{OK: "1"})
		return
	}
	c.sizes = append(c.sizes, len(batch.Completions))
	if c.fail != nil {
		httpx.WriteProblem(w, r, c.fail)
		return
	}
	var out queueapi.Outcomes
	for _, one := range batch.Completions {
		o := queueapi.Outcome{QueueID: one.QueueID, OK: "1"}
		if one.QueueID == "3" {
			o.OK, o.Code = "", errs.ClaimLost
		}
		out.Results = append(out.Results, o)
	}
	_ = httpx.WriteJSON(w, http.StatusOK, out)
}

// completeAll offers answers with results of so many bytes, then lets one
// sender send them, and returns what came of each.
func completeAll(t *testing.T, server *completions, n, bytes int) []error {
	t.Helper()
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	client, err := queueapi.NewClient(s.URL, s.Client())
	require.NoError(t, err)
	c := newCompleter(client, Config{ID: "w1", Slots: n})
	all := make([]completion, n)
	for i := range all {
		all[i] = completion{outcome: make(chan error, 1), request: queueapi.CompleteRequest{
			QueueID: fmt.Sprint(i), Result: json.RawMessage(`"` + strings.Repeat("x", bytes) + `"`),
		}}
		c.offered <- all[i]
	}
	ctx, stop := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() { c.run(ctx) })
	outcomes := make([]error, n)
	for i, one := range all {
		outcomes[i] = <-one.outcome
	}
	stop()
	sender.Wait()
	return outcomes
}

func TestCompleter_AnswersThatWaitShareACall(t *testing.T) {
	t.Parallel()
	server := &completions{}
	for i, err := range completeAll(t, server, 5, 10) {
		if i == 3 {
			require.Equal(t, errs.ClaimLost, errs.CodeOf(err))
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, []int{5}, server.sizes)
}

func TestCompleter_LoneAnswerTakesTheSingleForm(t *testing.T) {
	t.Parallel()
	server := &completions{}
	require.NoError(t, completeAll(t, server, 1, 10)[0])
	require.Equal(t, []int{1}, server.sizes)
}

func TestCompleter_LargeAnswersAreNotPutTogether(t *testing.T) {
	t.Parallel()
	server := &completions{}
	completeAll(t, server, 3, 1<<20)
	require.Equal(t, []int{1, 1, 1}, server.sizes)
}

func TestCompleter_RefusedBatchIsSentOneByOne(t *testing.T) {
	t.Parallel()
	server := &completions{fail: errs.New(errs.InvalidArgument, "one of them is wrong")}
	for _, err := range completeAll(t, server, 3, 10) {
		require.NoError(t, err)
	}
	require.Equal(t, []int{3, 1, 1, 1}, server.sizes)
}

func TestCompleter_EveryAnswerHearsOfAQueueThatIsAway(t *testing.T) {
	t.Parallel()
	for _, err := range completeAll(t, &completions{fail: errs.New(errs.Unavailable, "away")}, 3, 10) {
		require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	}
}

func TestJournal_IsBoundedAndSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	j := newJournal()
	j.add("a\x00b\xff")
	j.add(strings.Repeat("é", logLine))
	for range 100 {
		j.add(strings.Repeat("x", logLine))
	}
	text := j.take()
	require.LessOrEqual(t, len(text), logMost+100)
	require.True(t, strings.HasPrefix(text, "a\uFFFDb\uFFFD\n"), text[:20])
	require.Regexp(t, `\n\(8\d lines lost\)\n$`, text)
	require.Empty(t, j.take())
}
