//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	pollers         = 200
	polledJobs      = 5000
	shortPolledJobs = 1000
	putAtOnce       = 500
	pollAtOnce      = 8 // jobs of a poll for several
	pollWait        = 2 * time.Second
	// longClaim is longer than any test: no job is delivered again.
	longClaim = 10 * time.Minute
	crowded   = "crowded" // the service of the jobs
)

func TestQueuePollers_EachJobIsOnesAtATime(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) { crowd(t, d) })
	}
}

// crowd lets a crowd of pollers fight for jobs that come meanwhile. Half of them
// wait for one job at a time, half take what there is.
func crowd(t *testing.T, d driver) {
	t.Helper()
	size := polledJobs
	if testing.Short() {
		size = shortPolledJobs
	}
	results := newResults(t)
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Queue, Args: []string{"--db=" + d.fresh(t, "queue"), "--scheduler-url=" + results.url},
	})
	transport := &statuses{next: httpx.NewHTTPClient().Transport}
	client, err := queueapi.NewClient(server.URL, &http.Client{Transport: transport})
	require.NoError(t, err)
	c := &crowdJournal{left: int64(size), tokens: map[string]string{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c.done = stop

	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i := range pollers {
		p := crowdPoller{id: "poller-" + strconv.Itoa(i), client: client, journal: c, most: 1, wait: pollWait}
		if i%2 == 1 {
			p.most, p.wait = pollAtOnce, 0
		}
		group.Go(func() error { return p.work(ctx) })
	}
	for from := 0; from < size; from += putAtOnce {
		jobs := make([]queueapi.NewJob, 0, putAtOnce)
		for i := from; i < min(from+putAtOnce, size); i++ {
			jobs = append(jobs, newJob(crowded, i))
		}
		require.NoError(t, client.PutJobs(t.Context(), jobs))
	}
	require.NoError(t, group.Wait())
	took := time.Since(begin)
	require.Zero(t, transport.faults.Load(), "answers of 5xx")
	require.Len(t, c.tokens, size)

	suitetest.Await(t, batchTimeout, func() error { return results.complete(size) })
	stats, err := client.Stats(t.Context())
	require.NoError(t, err)
	for _, s := range stats {
		require.Zero(t, s.Ready+s.Claimed+s.Delayed+s.Dead, "%+v", s)
	}
	t.Logf("%d jobs by %d pollers in %v, %.0f a second, in %d calls", size, pollers, took.Round(time.Millisecond),
		float64(size)/took.Seconds(), transport.calls.Load())
}

// newJob is job number i of a service, with its number as the input.
func newJob(service string, i int) queueapi.NewJob {
	run := fmt.Sprintf("run-%s-%d", service, i)
	return queueapi.NewJob{
		ID: queueapi.JobID(run), TaskID: fmt.Sprintf("task-%s-%d", service, i), RunID: run, NodeKey: "only", Path: "only",
		Visit: 1, Attempt: 1, Service: service, Input: fmt.Appendf(nil, `{"input":%d,"params":{},"run_id":%q}`, i, run),
	}
}

// crowdPoller is one who polls and answers.
type crowdPoller struct {
	id      string
	client  *queueapi.Client
	journal *crowdJournal
	most    int
	wait    time.Duration
}

// work takes and answers jobs until ctx ends.
func (p crowdPoller) work(ctx context.Context) error {
	for ctx.Err() == nil {
		jobs, err := p.client.Poll(ctx, queueapi.PollParams{
			WorkerID: p.id, Services: []string{crowded}, Max: p.most, Wait: p.wait, Visibility: longClaim,
		})
		if err := unlessOver(ctx, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if len(jobs) == 0 {
			pause.For(ctx, retryPause)
			continue
		}
		if err := p.journal.claimed(p.id, jobs); err != nil {
			return err
		}
		if err := p.answer(ctx, jobs); err != nil {
			return err
		}
		p.journal.answered(len(jobs))
	}
	return nil
}

func (p crowdPoller) answer(ctx context.Context, jobs []queueapi.Job) error {
	batch := queueapi.CompleteBatch{WorkerID: p.id}
	for _, job := range jobs {
		batch.Completions = append(batch.Completions, queueapi.CompleteRequest{
			QueueID: job.ID, Token: job.Token, RunID: job.RunID, Result: fmt.Appendf(nil, "%q", job.Token),
		})
	}
	if len(jobs) == 1 {
		one := batch.Completions[0]
		one.WorkerID = p.id
		if err := p.client.Complete(ctx, one); err != nil {
			return fmt.Errorf("complete: %w", err)
		}
		return nil
	}
	outcomes, err := p.client.CompleteAll(ctx, batch)
	if err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	for _, outcome := range outcomes {
		if err := outcome.Err(); err != nil {
			return fmt.Errorf("complete %s: %w", outcome.QueueID, err)
		}
	}
	return nil
}

// crowdJournal is what all pollers got.
type crowdJournal struct {
	done func() // called when all is answered

	mu     sync.Mutex
	left   int64
	tokens map[string]string // by job
}

// claimed writes claims down. As none runs out, a job that comes again is one
// that two have at once, whether or not the first has answered it.
func (c *crowdJournal) claimed(by string, jobs []queueapi.Job) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, job := range jobs {
		if before, twice := c.tokens[job.ID]; twice {
			return fmt.Errorf("job %s came to %s as well, with token %q after %q", job.ID, by, job.Token, before)
		}
		if job.Token == "" || job.WorkerID != by || job.Attempt != 1 {
			return fmt.Errorf("job came to %s as %+v", by, job)
		}
		c.tokens[job.ID] = job.Token
	}
	return nil
}

func (c *crowdJournal) answered(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= int64(n); c.left == 0 {
		c.done()
	}
}

// statuses counts answers on their way.
type statuses struct {
	next          http.RoundTripper
	calls, faults atomic.Int64
}

func (s *statuses) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	s.calls.Add(1)
	if err == nil && response.StatusCode >= http.StatusInternalServerError {
		s.faults.Add(1)
	}
	return response, err
}

// results takes results as the scheduler does.
type results struct {
	url string

	mu  sync.Mutex
	got map[string]string // by run
	odd error
}

func newResults(t *testing.T) *results {
	t.Helper()
	r := &results{got: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", r.take)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *results) take(w http.ResponseWriter, request *http.Request) {
	var body schedulerapi.JobResults
	err := json.NewDecoder(request.Body).Decode(&body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.odd = err
	}
	for _, result := range body.Results {
		// A repeat is allowed, another result is not.
		if before, repeated := r.got[result.RunID]; repeated && before != string(result.Result) {
			r.odd = fmt.Errorf("run %s has the results %s and %s", result.RunID, before, result.Result)
		}
		r.got[result.RunID] = string(result.Result)
	}
	_ = httpx.WriteJSON(w, http.StatusOK, schedulerapi.OK{OK: "1"})
}

// complete is nil when so many runs have a result.
func (r *results) complete(want int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.odd == nil && len(r.got) != want {
		return fmt.Errorf("%d of %d runs have results", len(r.got), want)
	}
	return r.odd
}
