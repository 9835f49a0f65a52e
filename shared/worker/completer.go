package worker

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
)

const (
	// senders is how many calls with answers are under way at once: an answer
	// does not wait behind a slow call, and those that end together still share
	// one.
	senders = 4
	// envelope is about what an answer takes besides its result and error.
	envelope = 512
)

// completer sends answers: a lone one at once, and those that gathered while
// all senders were busy, or ended in the same moment, in one call.
type completer struct {
	client   *queueapi.Client
	workerID string
	offered  chan completion
}

// completion is an answer on its way.
type completion struct {
	request queueapi.CompleteRequest
	outcome chan error // has room for the outcome: nobody may be there any more
}

func (c completion) size() int {
	return len(c.request.Result) + len(c.request.Error) + envelope
}

func newCompleter(client *queueapi.Client, cfg Config) *completer {
	return &completer{client: client, workerID: cfg.ID, offered: make(chan completion, cfg.Slots)}
}

// complete sends one answer, once, and returns what the queue-gateway says.
func (c *completer) complete(ctx context.Context, req queueapi.CompleteRequest) error {
	one := completion{request: req, outcome: make(chan error, 1)}
	select {
	case c.offered <- one:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-one.outcome:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run is one sender, until ctx ends.
func (c *completer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-c.offered:
			for _, p := range parcel.Pack(c.more(first), completion.size) {
				c.send(ctx, p)
			}
		}
	}
}

// more adds to the first answer those that wait behind it.
func (c *completer) more(first completion) []completion {
	all := []completion{first}
	for len(all) < queueapi.MaxBatch {
		select {
		case one := <-c.offered:
			all = append(all, one)
		default:
			return all
		}
	}
	return all
}

func (c *completer) send(ctx context.Context, p []completion) {
	if len(p) == 1 {
		p[0].outcome <- c.sendOne(ctx, p[0])
		return
	}
	outcomes, err := c.sendAll(ctx, p)
	for i, one := range p {
		switch {
		case parcel.Refused(err): // because of one of them, and not of the others
			one.outcome <- c.sendOne(ctx, one)
		case err != nil:
			one.outcome <- err
		default:
			one.outcome <- outcomes[i].Err()
		}
	}
}

func (c *completer) sendOne(ctx context.Context, one completion) error {
	ctx, cancel := context.WithTimeout(ctx, queueCall)
	defer cancel()
	return c.client.Complete(ctx, one.request)
}

func (c *completer) sendAll(ctx context.Context, p []completion) ([]queueapi.Outcome, error) {
	batch := queueapi.CompleteBatch{WorkerID: c.workerID}
	for _, one := range p {
		batch.Completions = append(batch.Completions, one.request)
	}
	ctx, cancel := context.WithTimeout(ctx, queueCall)
	defer cancel()
	outcomes, err := c.client.CompleteAll(ctx, batch)
	if err == nil && len(outcomes) != len(p) {
		err = fmt.Errorf("complete %d jobs: got %d outcomes", len(p), len(outcomes))
	}
	return outcomes, err
}
