package demoworker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// The services that show what becomes of work that fails or takes its time.

// flaky fails the first params.failures attempts, then returns its input.
func flaky(_ context.Context, job worker.Job) (any, error) {
	var params struct {
		Failures  int    `json:"failures"`
		Message   string `json:"message"`
		Retryable *bool  `json:"retryable"`
	}
	if err := job.DecodeParams(&params); err != nil {
		return nil, err
	}
	if max(job.Attempt, 1) > params.Failures {
		return job.Input, nil
	}
	err := errors.New("not yet")
	if params.Message != "" {
		err = errors.New(params.Message)
	}
	if params.Retryable != nil && !*params.Retryable {
		return nil, worker.Permanent(err)
	}
	return nil, err
}

// maxNap bounds what one execution may ask for: it takes a place in the worker
// for as long.
const maxNap = time.Minute

// nap takes params.ms milliseconds, else as many as its input, then returns its
// input.
func nap(ctx context.Context, job worker.Job) (any, error) {
	params := object(job.Params)
	data, where := job.Input, "the input"
	if params.has("ms") {
		data, where = params["ms"], "params.ms"
	}
	n, err := parseNumber(data)
	if err != nil {
		return nil, permanent("nap: %s must be a number of milliseconds: %w", where, err)
	}
	ms, _ := n.Float64()
	if ms < 0 || ms > float64(maxNap.Milliseconds()) {
		return nil, permanent("nap: %s must be from 0 to %d milliseconds", where, maxNap.Milliseconds())
	}
	d := time.Duration(ms * float64(time.Millisecond))
	job.Log(fmt.Sprintf("napping for %v", d))
	if !pause.For(ctx, d) {
		return nil, fmt.Errorf("woken too early: %w", context.Cause(ctx))
	}
	return job.Input, nil
}
