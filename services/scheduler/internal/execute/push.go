package execute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/workers"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/netguard"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// maxAnswer is the most bytes of a worker's answer.
const maxAnswer = 8 << 20

// Pool is where push workers come from.
type Pool interface {
	Pick(ctx context.Context, want workers.Want) (*workers.Taken, error)
}

// push calls workers over HTTP.
type push struct {
	pool Pool
	// transport follows no redirect: one could lead to where no worker was
	// allowed to register.
	transport *http.Transport
	metrics   *Metrics
}

func newPush(pool Pool, metrics *Metrics) *push {
	return &push{pool: pool, metrics: metrics, transport: &http.Transport{
		// A name that was fit to register may resolve to what is not.
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second, Control: netguard.Control}).DialContext,
		MaxIdleConns:        2048,
		MaxIdleConnsPerHost: 512,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
	}}
}

// do carries out one attempt. Its time runs from the moment at which a first
// worker is at hand: to wait for a free place in one is no work.
func (p *push) do(ctx context.Context, taskID string, x engine.Execution) engine.RunResult {
	want := workers.Want{Service: x.Exec.Service, Order: workers.RoundRobin, Tried: map[string]bool{}, Patience: x.Timeout}
	if x.Exec.Routing.WeightedByLoad {
		want.Order = workers.LeastLoaded
	}
	worker, err := p.pool.Pick(ctx, want)
	if err != nil && ctx.Err() != nil {
		p.metrics.called(callCanceled)
		return engine.RunResult{} // nobody looks at it
	}
	if err != nil {
		p.metrics.called(CodeNoWorker)
		return failed(CodeNoWorker, "no online worker offers the service %q", x.Exec.Service).RunResult
	}
	if x.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.Timeout)
		defer cancel()
	}
	result := p.inTurn(ctx, want, call{task: taskID, execution: x, worker: worker, body: payload(x)})
	if result.Error != nil && !result.stands && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		late := timedOut(x)
		late.WorkerID, late.WorkerURL = result.WorkerID, result.WorkerURL
		return late.RunResult
	}
	return result.RunResult
}

// inTurn tries the workers of the service, from the one already picked, until
// one gives the attempt its end or as many were tried as may be.
func (p *push) inTurn(ctx context.Context, want workers.Want, c call) failure {
	routing := c.execution.Exec.Routing
	for n := 1; ; n++ {
		want.Tried[c.worker.ID] = true
		result, moveOn := p.counted(ctx, c)
		if !moveOn {
			c.worker.Took()
		}
		c.worker.Done()
		result.WorkerID, result.WorkerURL = c.worker.ID, c.worker.URL
		if !moveOn || n == routing.MaxAttempts {
			return result
		}
		next, err := p.pool.Pick(ctx, want)
		if err != nil {
			result.stands = true // it says more than that time ran out meanwhile
			return result
		}
		if !pause.For(ctx, routing.Delay) {
			next.Done()
			return result
		}
		c.worker = next
	}
}

// payload is {"input","params"} of values that are JSON texts already.
func payload(x engine.Execution) []byte {
	body := make([]byte, 0, len(x.Input)+len(x.Params)+len(`{"input":,"params":}`)+8)
	body = append(body, `{"input":`...)
	body = append(body, orNull(x.Input)...)
	body = append(body, `,"params":`...)
	body = append(body, orNull(x.Params)...)
	return append(body, '}')
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

type call struct {
	task      string
	execution engine.Execution
	worker    *workers.Taken
	body      []byte
}

// counted is call with its result counted.
func (p *push) counted(ctx context.Context, c call) (result failure, moveOn bool) {
	p.metrics.inFlight.Inc()
	result, moveOn = p.call(ctx, c)
	p.metrics.inFlight.Dec()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		p.metrics.called(callCanceled)
	case result.Error != nil:
		p.metrics.called(result.Error.Code)
	default:
		p.metrics.called(callOK)
	}
	return result, moveOn
}

// call makes one request. moveOn tells that the worker never took the work, so
// that the next one may.
func (p *push) call(ctx context.Context, c call) (result failure, moveOn bool) {
	x := c.execution
	target := strings.TrimRight(c.worker.URL, "/") + "/exec/" + url.PathEscape(x.Exec.Service)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(c.body))
	if err != nil {
		return failed(CodeUnreachable, "the worker %q has an unusable URL", c.worker.ID), true
	}
	req.Header = headers(c)
	tracing.Send(ctx, req.Header)
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return p.callFailed(ctx, c, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		return failed(CodeUnreachable, "the worker %q answered %s", c.worker.ID, status(resp)), true
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return timedOut(x), false
	case err != nil:
		return failed(CodeLost, "the answer of worker %q broke off", c.worker.ID), false
	case len(data) > maxAnswer:
		return failed(CodeTooLarge, "the answer of worker %q is over %d bytes", c.worker.ID, maxAnswer), false
	}
	return answer(resp, data), false
}

func (p *push) callFailed(ctx context.Context, c call, err error) (result failure, moveOn bool) {
	var dial *net.OpError
	switch {
	case ctx.Err() != nil:
		// The worker is not to blame, whatever it was that broke off.
		return timedOut(c.execution), false
	case errors.As(err, &dial) && dial.Op == "dial":
		c.worker.SetAside()
		return failed(CodeUnreachable, "the worker %q cannot be reached", c.worker.ID), true
	default:
		// It may have done the work: another worker must not do it again in
		// the same attempt.
		return failed(CodeLost, "the connection to worker %q broke before its answer", c.worker.ID), false
	}
}

func headers(c call) http.Header {
	x := c.execution
	return http.Header{
		"Content-Type": {"application/json"},
		// In lower case net/http does not know it. Under its own spelling the
		// transport would take it for leave to repeat the request by itself
		// when the connection breaks, and the worker may have done the work.
		strings.ToLower(httpx.HeaderIdempotencyKey): {x.RunID},

		httpx.HeaderTask:    {c.task},
		httpx.HeaderNode:    {x.Path},
		httpx.HeaderAttempt: {strconv.Itoa(x.Attempt)},
	}
}

// answer reads {"result","error","retryable"}.
func answer(resp *http.Response, data []byte) failure {
	var body struct {
		Result    json.RawMessage `json:"result"`
		Error     json.RawMessage `json:"error"`
		Retryable *bool           `json:"retryable"`
	}
	err := json.Unmarshal(data, &body)
	if !utf8.Valid(data) {
		// encoding/json does not look into what it hands on raw.
		return failed(CodeBadAnswer, "the worker's answer is not UTF-8")
	}
	message := errorText(body.Error)
	ok := resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices

	var f failure
	switch {
	case !ok && message != "":
		f = failed(CodeStatus, "the worker answered %s: %s", status(resp), message)
	case !ok:
		f = failed(CodeStatus, "the worker answered %s", status(resp))
	case err != nil || (body.Result == nil && body.Error == nil):
		return failed(CodeBadAnswer, `the worker's answer is not {"result": …, "error": …}`)
	case message != "":
		f = failed(CodeWorkerError, "%s", message)
	default:
		return failure{RunResult: engine.RunResult{Result: body.Result}}
	}
	f.Error.Final = body.Retryable != nil && !*body.Retryable
	return f
}

// status is the answer's status in the standard's words; the worker's own may
// hold any bytes.
func status(resp *http.Response) string {
	return strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode))
}

// errorText is the worker's error as text; "" for null and "".
func errorText(raw json.RawMessage) string {
	var text string
	switch rawjson.TypeOf(raw) {
	case rawjson.Missing, rawjson.Null:
	case rawjson.String:
		text = rawjson.Text(raw)
	case rawjson.Bool, rawjson.Number, rawjson.Array, rawjson.Object:
		text = string(raw)
	}
	return errs.Shorten(text, engine.MaxMessage)
}
