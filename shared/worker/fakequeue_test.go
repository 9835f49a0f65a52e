package worker_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// fakeQueue hands out the jobs put into it, to the first that asks, and keeps
// the answers. What the real one does is tested beside it, with this SDK.
type fakeQueue struct {
	url     string
	jobs    chan queueapi.Job
	polled  chan queueapi.PollRequest
	answers chan queueapi.CompleteRequest // the accepted ones
	beats   chan queueapi.HeartbeatBatch
	marks   chan queueapi.UpdateRunRequest
	logs    chan queueapi.LogsRequest

	mu       sync.Mutex
	refuse   func(queueapi.CompleteRequest) error
	proxy    func(http.ResponseWriter, *http.Request) bool // tells whether it answered instead; may be nil
	gone     map[string]errs.Code                          // what heartbeats are told, by job id
	deaf     error                                         // of heartbeats
	noReport error                                         // of marks and logs
	onReport func()                                        // at each of them; may be nil
}

func newQueue(t *testing.T) *fakeQueue {
	t.Helper()
	f := &fakeQueue{
		jobs: make(chan queueapi.Job, 16), polled: make(chan queueapi.PollRequest, 1024),
		answers: make(chan queueapi.CompleteRequest, 16), beats: make(chan queueapi.HeartbeatBatch, 1024),
		marks: make(chan queueapi.UpdateRunRequest, 16), logs: make(chan queueapi.LogsRequest, 16),
		gone: map[string]errs.Code{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /queue/poll", f.poll)
	mux.HandleFunc("POST /queue/complete", f.complete)
	mux.HandleFunc("POST /queue/heartbeat", f.heartbeat)
	mux.HandleFunc("POST /queue/update_run", func(w http.ResponseWriter, r *http.Request) { report(f, w, r, f.marks) })
	mux.HandleFunc("POST /queue/logs", func(w http.ResponseWriter, r *http.Request) { report(f, w, r, f.logs) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		proxy := f.proxy
		f.mu.Unlock()
		if proxy == nil || !proxy(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeQueue) with(change func(*fakeQueue)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeQueue) poll(w http.ResponseWriter, r *http.Request) {
	var req queueapi.PollRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	_, _ = io.Copy(io.Discard, r.Body) // a server sees a hang-up only once it has read the body
	f.polled <- req
	select {
	case job := <-f.jobs:
		_ = httpx.WriteJSON(w, http.StatusOK, queueapi.Jobs{Jobs: []queueapi.Job{job}})
	case <-time.After(time.Duration(req.WaitMS) * time.Millisecond):
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

func (f *fakeQueue) complete(w http.ResponseWriter, r *http.Request) {
	var single queueapi.CompleteRequest
	var batch queueapi.CompleteBatch
	data, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(data, &single)
	_ = json.Unmarshal(data, &batch)
	if batch.Completions == nil {
		if err := f.take(single); err != nil {
			httpx.WriteProblem(w, r, err)
			return
		}
		_ = httpx.WriteJSON(w, http.StatusOK, queueapi.OK{OK: "1"})
		return
	}
	var out queueapi.Outcomes
	for _, one := range batch.Completions {
		out.Results = append(out.Results, outcome(one.QueueID, f.take(one)))
	}
	_ = httpx.WriteJSON(w, http.StatusOK, out)
}

func outcome(id string, err error) queueapi.Outcome {
	if err != nil {
		return queueapi.Outcome{QueueID: id, Code: errs.CodeOf(err), Error: errs.DetailOf(err)}
	}
	return queueapi.Outcome{QueueID: id, OK: "1"}
}

func (f *fakeQueue) take(req queueapi.CompleteRequest) error {
	f.mu.Lock()
	refuse := f.refuse
	f.mu.Unlock()
	if refuse != nil {
		if err := refuse(req); err != nil {
			return err
		}
	}
	f.answers <- req
	return nil
}

func (f *fakeQueue) heartbeat(w http.ResponseWriter, r *http.Request) {
	var req queueapi.HeartbeatBatch
	_ = json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beats <- req
	if f.deaf != nil {
		httpx.WriteProblem(w, r, f.deaf)
		return
	}
	var out queueapi.Outcomes
	for _, c := range req.Claims {
		var err error
		if code := f.gone[c.QueueID]; code != "" {
			err = errs.New(code, "gone")
		}
		out.Results = append(out.Results, outcome(c.QueueID, err))
	}
	_ = httpx.WriteJSON(w, http.StatusOK, out)
}

func report[T any](f *fakeQueue, w http.ResponseWriter, r *http.Request, heard chan<- T) {
	var req T
	_ = json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onReport != nil {
		f.onReport()
	}
	if f.noReport != nil {
		httpx.WriteProblem(w, r, f.noReport)
		return
	}
	heard <- req
	_ = httpx.WriteJSON(w, http.StatusOK, queueapi.OK{OK: "1"})
}
