package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
)

// queue holds the jobs that are durable and with no worker yet, by service.
type queue struct {
	mu      sync.Mutex
	ready   map[string][]*job
	waiting map[string][]chan struct{} // polls; one is closed for each job
	claimed map[string]*job            // by job id
}

type job struct {
	task *task
	queueapi.Job
}

func newQueue() queue {
	return queue{ready: map[string][]*job{}, waiting: map[string][]chan struct{}{}, claimed: map[string]*job{}}
}

// service is the one that jobs are for.
const service = "bench"

func (s *server) putJob(t *task) {
	n, err := t.number()
	if err != nil {
		fatal(err)
	}
	run := strings.Replace(t.id, "task", "run", 1)
	j := &job{task: t, Job: queueapi.Job{
		ID: queueapi.JobID(run), TaskID: t.id, RunID: run, NodeKey: "s1", Service: service, Status: "claimed", Attempt: 1, Token: t.id,
		InputJSON: `{"input":` + string(n) + `,"params":` + string(t.params) + `,"run_id":"` + run + `"}`, CreatedAt: time.Now().UnixMilli(),
	}}
	if err := s.store.commit(j.row("ready")); err != nil {
		fatal(err)
	}
	s.queue.mu.Lock()
	s.queue.ready[service] = append(s.queue.ready[service], j)
	if polls := s.queue.waiting[service]; len(polls) > 0 {
		close(polls[0])
		s.queue.waiting[service] = polls[1:]
	}
	s.queue.mu.Unlock()
}

func (j *job) row(status string) row {
	return row{id: j.ID, version: j.task.version, status: status, shared: j.InputJSON, record: filling[:queued]}
}

func (s *server) poll(r *http.Request) ([]byte, error) {
	var request queueapi.PollRequest
	if err := decode(r, &request); err != nil {
		return nil, err
	}
	jobs := s.queue.take(r.Context(), &request)
	if len(jobs) == 0 {
		return nil, nil
	}
	rows := make([]row, len(jobs))
	answer := queueapi.Jobs{Jobs: make([]queueapi.Job, len(jobs))}
	for i, j := range jobs {
		rows[i], answer.Jobs[i] = j.row("claimed"), j.Job
	}
	if err := s.store.commit(rows...); err != nil {
		return nil, err
	}
	if request.MaxJobs == 0 {
		return json.Marshal(&answer.Jobs[0])
	}
	return json.Marshal(&answer)
}

// take returns up to as many jobs as are wanted, as soon as there is one.
func (q *queue) take(ctx context.Context, request *queueapi.PollRequest) []*job {
	wait := time.NewTimer(time.Duration(request.WaitMS) * time.Millisecond)
	defer wait.Stop()
	name := request.Services[0]
	for {
		q.mu.Lock()
		if n := min(len(q.ready[name]), max(request.MaxJobs, 1)); n > 0 {
			jobs := slices.Clone(q.ready[name][:n])
			q.ready[name] = q.ready[name][n:]
			for _, j := range jobs {
				j.WorkerID = request.WorkerID
				q.claimed[j.ID] = j
			}
			q.mu.Unlock()
			return jobs
		}
		woken := make(chan struct{})
		q.waiting[name] = append(q.waiting[name], woken)
		q.mu.Unlock()
		select {
		case <-woken:
			continue
		case <-wait.C:
		case <-ctx.Done():
		}
		q.leave(name, woken)
		return nil
	}
}

// leave takes a poll out of those that wait, and wakes another when it was
// woken meanwhile.
func (q *queue) leave(name string, woken chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	polls := q.waiting[name]
	if i := slices.Index(polls, woken); i >= 0 {
		q.waiting[name] = slices.Delete(polls, i, i+1)
	} else if len(polls) > 0 {
		close(polls[0])
		q.waiting[name] = polls[1:]
	}
}

func (s *server) complete(r *http.Request) ([]byte, error) {
	var request struct {
		queueapi.CompleteRequest
		Completions []queueapi.CompleteRequest `json:"completions"`
	}
	if err := decode(r, &request); err != nil {
		return nil, err
	}
	batch := request.Completions
	if batch == nil {
		batch = []queueapi.CompleteRequest{request.CompleteRequest}
	}
	rows, tasks := make([]row, len(batch)), make([]*task, len(batch))
	outcomes := queueapi.Outcomes{Results: make([]queueapi.Outcome, len(batch))}
	s.queue.mu.Lock()
	for i, c := range batch {
		j := s.queue.claimed[c.QueueID]
		delete(s.queue.claimed, c.QueueID)
		j.task.keep(1, c.Result)
		rows[i], tasks[i] = j.row(completed), j.task
		outcomes.Results[i] = queueapi.Outcome{QueueID: c.QueueID, OK: "1"}
	}
	s.queue.mu.Unlock()
	if err := s.store.commit(rows...); err != nil {
		return nil, err
	}
	go s.settle(tasks)
	if request.Completions == nil {
		return ok, nil
	}
	return json.Marshal(&outcomes)
}

// settle ends the tasks whose jobs are completed.
func (s *server) settle(tasks []*task) {
	rows := make([]row, len(tasks))
	for i, t := range tasks {
		rows[i] = t.row(completed, stepped)
	}
	if err := s.store.commit(rows...); err != nil {
		fatal(err)
	}
	for _, t := range tasks {
		s.counted(t.version, count{completed: 1})
	}
}
