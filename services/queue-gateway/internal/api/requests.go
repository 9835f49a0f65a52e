package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
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
	c.required("worker_id", body.WorkerID)
	if n := len(body.Services); n == 0 || n > queue.MaxServices {
		c.Add("services", "must name 1 to %d services", queue.MaxServices)
	}
	for i, service := range body.Services {
		c.required(fmt.Sprintf("services[%d]", i), service)
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

func answerOf(body queueapi.CompleteRequest) (queue.Answer, error) {
	var c checker
	c.required("queue_id", body.QueueID)
	return queue.Answer{
		Claim: storage.ClaimRef{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}, RunID: body.RunID,
		Result: body.Result, Error: body.Error, Retryable: body.Retryable, LogPath: body.LogPath,
	}, c.Err()
}

func extension(body queueapi.HeartbeatRequest) (storage.ClaimRef, time.Duration, error) {
	var c checker
	c.required("queue_id", body.QueueID)
	visibility := c.visibility(body.VisibilityMS)
	return storage.ClaimRef{JobID: body.QueueID, WorkerID: body.WorkerID, Token: body.Token}, visibility, c.Err()
}

func newJobs(body queueapi.PutJobsRequest) ([]storage.Job, error) {
	var c checker
	jobs := make([]storage.Job, 0, len(body.Jobs))
	for i, job := range body.Jobs {
		at := func(field string) string { return fmt.Sprintf("jobs[%d].%s", i, field) }
		c.required(at("id"), job.ID)
		c.required(at("task_id"), job.TaskID)
		c.required(at("run_id"), job.RunID)
		c.required(at("service"), job.Service)
		if !isObject(job.Input) {
			c.Add(at("input"), `must be the object {"input","params","run_id"}`)
		}
		if job.AvailableAt < 0 {
			c.Add(at("available_at"), "must not be negative")
		}
		stored := storage.Job{
			ID: job.ID, TaskID: job.TaskID, RunID: job.RunID, NodeKey: job.NodeKey, Path: job.Path,
			Visit: job.Visit, Attempt: job.Attempt, Service: job.Service, Input: job.Input, Priority: job.Priority,
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
