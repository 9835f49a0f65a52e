package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// A push worker: it listens, and the scheduler calls it.
func Example() {
	suite := exampleSuite() // a PocketFlow server; yours is at http://127.0.0.1:8070
	defer suite.Close()

	w, err := worker.New(worker.Config{
		RegistryURL: suite.URL,
		Addr:        "127.0.0.1:0", // a port of its own; usually a fixed one
	}, worker.Deps{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w.Handle("greet", func(_ context.Context, job worker.Job) (any, error) {
		var name string
		if err := job.DecodeInput(&name); err != nil {
			return nil, err // permanent: the same input will not fit next time either
		}
		return map[string]string{"greeting": "Hello, " + name + "!"}, nil
	})

	// In a program the context ends at a signal: app.SignalContext, or
	// signal.NotifyContext.
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()

	fmt.Println(suite.execute("greet", `{"input": "Ada", "params": {}}`))
	fmt.Println(suite.execute("greet", `{"input": 42, "params": {}}`))
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// {"result":{"greeting":"Hello, Ada!"},"error":""}
	// {"result":null,"error":"input: json: cannot unmarshal number into Go value of type string","retryable":false}
	// stopped: <nil>
}

// A pull worker: it fetches its jobs, so it needs no address that others can
// reach.
func Example_pull() {
	suite := exampleSuite()
	defer suite.Close()

	w, err := worker.New(worker.Config{
		Mode:     worker.Pull,
		QueueURL: suite.URL, // the gateway; it leads to the registry as well
		Slots:    2,
	}, worker.Deps{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w.Handle("greet", func(_ context.Context, job worker.Job) (any, error) {
		var name string
		if err := job.DecodeInput(&name); err != nil {
			return nil, err
		}
		if name == "" {
			return nil, worker.Permanent(errors.New("nobody to greet"))
		}
		return "Hello, " + name + "!", nil
	})

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()

	fmt.Println(suite.enqueue("greet", `{"input": "Ada", "params": {}}`))
	fmt.Println(suite.enqueue("greet", `{"input": "", "params": {}}`))
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// result: "Hello, Ada!", error: ""
	// result: null, error: "nobody to greet"
	// stopped: <nil>
}

// suite stands in for a PocketFlow server.
type suite struct {
	*httptest.Server
	workers chan string // URLs, as they register
	jobs    chan queueapi.Job
	answers chan queueapi.CompleteRequest
}

func exampleSuite() *suite {
	s := &suite{workers: make(chan string, 1), jobs: make(chan queueapi.Job, 1), answers: make(chan queueapi.CompleteRequest, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/workers/register":
			var body struct{ URL string }
			_ = json.NewDecoder(r.Body).Decode(&body)
			s.workers <- body.URL
		case "/queue/poll":
			_, _ = io.Copy(io.Discard, r.Body) // a server sees a hang-up only once it has read the body
			select {
			case job := <-s.jobs:
				_ = httpx.WriteJSON(w, http.StatusOK, queueapi.Jobs{Jobs: []queueapi.Job{job}})
			case <-r.Context().Done():
			}
			return
		case "/queue/complete":
			var body queueapi.CompleteRequest
			_ = json.NewDecoder(r.Body).Decode(&body)
			s.answers <- body
		}
		_ = httpx.WriteJSON(w, http.StatusOK, map[string]string{"ok": "1"})
	}))
	return s
}

// execute calls the worker as a scheduler does.
func (s *suite) execute(service, body string) string {
	url := <-s.workers
	s.workers <- url
	r, err := exec(context.Background(), url+"/exec/"+service, "", body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(r.body)
}

func (s *suite) enqueue(service, input string) string {
	s.jobs <- queueapi.Job{ID: "job-1", Service: service, InputJSON: input, Token: "t", WorkerID: "w"}
	answer := <-s.answers
	return fmt.Sprintf("result: %s, error: %q", answer.Result, answer.Error)
}
