package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// worker calls the push worker as the suite does: the same body, the same
// headers, connections kept.
type worker struct {
	base   string
	client *http.Client
	target *url.URL
}

func newWorker(base string) *worker {
	target, err := url.Parse(base + "/exec/bench")
	if err != nil {
		fatal(err)
	}
	return &worker{base: base, target: target, client: &http.Client{Transport: &http.Transport{MaxIdleConns: 2048, MaxIdleConnsPerHost: 512}}}
}

type call struct {
	task  *task
	node  string
	input []byte
}

var (
	jsonType = []string{"application/json"}
	first    = []string{"1"}
)

// traceparent stands for the one that the suite sends along.
var traceparent = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}

// call returns the result of the worker's answer.
func (w *worker) call(c call) ([]byte, error) {
	body := make([]byte, 0, len(c.input)+len(c.task.params)+len(`{"input":,"params":}`))
	body = append(append(body, `{"input":`...), c.input...)
	body = append(append(body, `,"params":`...), c.task.params...)
	body = append(body, '}')
	request := &http.Request{
		Method: http.MethodPost, URL: w.target, Host: w.target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{
			"Content-Type": jsonType, "idempotency-key": {ids.New(ids.Run)},
			httpx.HeaderTask: {c.task.id}, httpx.HeaderNode: {c.node}, httpx.HeaderAttempt: first,
			"Traceparent": traceparent,
		},
	}
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(data, &answer); err != nil || answer.Result == nil {
		return nil, fmt.Errorf("answer of the worker: %s, %w", data, err)
	}
	return answer.Result, nil
}
