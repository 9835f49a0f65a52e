package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// checker gathers every fault of a request.
type checker struct{ errs.Faults }

func (c *checker) required(path, value string) {
	if value == "" {
		c.Add(path, "is required")
	}
}

// maxName bounds the names of workers and services, in bytes, as the other
// services do.
const maxName = 256

func (c *checker) name(path, value string) {
	c.required(path, value)
	if len(value) > maxName {
		c.Add(path, "must be at most %d bytes", maxName)
	}
}

func (c *checker) within(path string, value, least, most int) {
	if value < least || value > most {
		c.Add(path, "must be from %d to %d", least, most)
	}
}

// visibility reads a claim's time; 0 leaves it to the queue.
func (c *checker) visibility(ms int) time.Duration {
	if ms != 0 {
		c.within("visibility_ms", ms, int(queue.MinVisibility.Milliseconds()), int(queue.MaxVisibility.Milliseconds()))
	}
	return time.Duration(ms) * time.Millisecond
}

func pollParams(body queueapi.PollRequest) (queue.PollParams, error) {
	var c checker
	c.name("worker_id", body.WorkerID)
	if n := len(body.Services); n == 0 || n > queue.MaxServices {
		c.Add("services", "must name 1 to %d services", queue.MaxServices)
	}
	for i, service := range body.Services {
		c.name(fmt.Sprintf("services[%d]", i), service)
	}
	c.within("wait_ms", body.WaitMS, 0, int(queue.MaxWait.Milliseconds()))
	most := 1
	if body.MaxJobs != 0 {
		c.within("max_jobs", body.MaxJobs, 1, queue.MaxJobs)
		most = body.MaxJobs
	}
	visibility := c.visibility(body.VisibilityMS)
	return queue.PollParams{
		WorkerID: body.WorkerID, Services: slices.Compact(slices.Sorted(slices.Values(body.Services))), Max: most,
		Wait: time.Duration(body.WaitMS) * time.Millisecond, Visibility: visibility,
	}, c.Err()
}

// batchOf tells whether a request is a batch, and holds it to its size. It is
// one as soon as it has the batch's member, even an empty one.
func batchOf[T any](c *checker, member string, items []T, queueID string) bool {
	if items == nil {
		c.required("queue_id", queueID)
		return false
	}
	if queueID != "" {
		c.Add("queue_id", "does not go with %s", member)
	}
	if len(items) > queueapi.MaxBatch {
		c.Add(member, "must be at most %d", queueapi.MaxBatch)
	}
	return true
}

// completeBody is the single form and the batch.
type completeBody struct {
	queueapi.CompleteRequest
	Completions []queueapi.CompleteRequest `json:"completions"`
}

// answers are what a request answers; form tells how to answer it.
func (body completeBody) answers() (answers []queue.Answer, form form, err error) {
	var c checker
	if !batchOf(&c, "completions", body.Completions, body.QueueID) {
		return []queue.Answer{answerOf(body.CompleteRequest)}, single, c.Err()
	}
	for i, one := range body.Completions {
		c.required(fmt.Sprintf("completions[%d].queue_id", i), one.QueueID)
		one.WorkerID = cmp.Or(one.WorkerID, body.WorkerID)
		answers = append(answers, answerOf(one))
	}
	return answers, batch, c.Err()
}

func answerOf(body queueapi.CompleteRequest) queue.Answer {
	return queue.Answer{
		Claim: storage.ClaimRef{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}, RunID: body.RunID,
		Result: body.Result, Error: body.Error, Retryable: body.Retryable, LogPath: body.LogPath,
	}
}

// heartbeatBody is the single form and the batch.
type heartbeatBody struct {
	queueapi.HeartbeatRequest
	Claims []queueapi.Claim `json:"claims"`
}

// extension is what a request extends, and for how long.
func (body heartbeatBody) extension() (claims []storage.ClaimRef, visibility time.Duration, form form, err error) {
	var c checker
	visibility = c.visibility(body.VisibilityMS)
	if !batchOf(&c, "claims", body.Claims, body.QueueID) {
		return []storage.ClaimRef{{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}}, visibility, single, c.Err()
	}
	for i, one := range body.Claims {
		c.required(fmt.Sprintf("claims[%d].queue_id", i), one.QueueID)
		claims = append(claims, storage.ClaimRef{JobID: one.QueueID, WorkerID: body.WorkerID, Token: one.Token})
	}
	return claims, visibility, batch, c.Err()
}

func updateOf(body queueapi.UpdateRunRequest) (queue.Report, error) {
	var c checker
	c.required("run_id", body.RunID)
	if body.Status != queueapi.StatusRunning {
		c.Add("status", "must be %q", queueapi.StatusRunning)
	}
	return queue.Report{
		Claim: storage.ClaimRef{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}, RunID: body.RunID,
		Status: schedulerapi.ProgressRunning, Log: body.Log, LogID: body.LogID,
	}, c.Err()
}

func logsOf(body queueapi.LogsRequest) (queue.Report, error) {
	var c checker
	if body.RunID == "" && body.QueueID == "" {
		c.Add("run_id", "is required, or queue_id")
	}
	if body.Lines == nil && body.Text == "" {
		c.Add("lines", "is required, or text")
	}
	var text strings.Builder
	for _, line := range body.Lines {
		text.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	text.WriteString(body.Text)
	return queue.Report{
		Claim: storage.ClaimRef{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}, RunID: body.RunID,
		Log: text.String(), LogID: body.LogID,
	}, c.Err()
}

func newJobs(body queueapi.PutJobsRequest) ([]storage.Job, error) {
	var c checker
	jobs := make([]storage.Job, 0, len(body.Jobs))
	for i, job := range body.Jobs {
		at := func(field string) string { return fmt.Sprintf("jobs[%d].%s", i, field) }
		c.required(at("id"), job.ID)
		c.required(at("task_id"), job.TaskID)
		c.required(at("run_id"), job.RunID)
		c.name(at("service"), job.Service)
		if !isObject(job.Input) {
			c.Add(at("input"), `must be the object {"input","params","run_id"}`)
		}
		if job.AvailableAt < 0 {
			c.Add(at("available_at"), "must not be negative")
		}
		stored := storage.Job{
			ID: job.ID, TaskID: job.TaskID, RunID: job.RunID, NodeKey: job.NodeKey, Path: job.Path,
			Visit: job.Visit, Attempt: job.Attempt, RunNo: job.RunNo, Service: job.Service, Input: job.Input, Priority: job.Priority,
			Trace: job.Traceparent,
		}
		if job.AvailableAt > 0 {
			stored.AvailableAt = time.UnixMilli(job.AvailableAt).UTC()
		}
		jobs = append(jobs, stored)
	}
	return jobs, c.Err()
}

// isObject tells whether well-formed JSON is an object.
func isObject(data json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{"))
}
