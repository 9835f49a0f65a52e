package worker

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// maxRequest bounds the body of a call: the largest result of another worker
// as input, and params.
const maxRequest = 16 << 20

// Handler serves a push worker's routes: POST /exec/{service}, and /healthz and
// /readyz (ready: registered). Run serves it at Config.Addr; it is exported for
// tests and for mounting beside other routes.
func (w *Worker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(rw http.ResponseWriter, _ *http.Request) {
		_ = httpx.WriteJSON(rw, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/readyz", func(rw http.ResponseWriter, r *http.Request) {
		if now, _ := w.presence.standing(); now != online {
			httpx.WriteProblem(rw, r, errs.New(errs.Unavailable, "not registered"))
			return
		}
		_ = httpx.WriteJSON(rw, http.StatusOK, map[string]string{"status": "ready"})
	})
	if w.cfg.Mode == Push {
		mux.HandleFunc("/exec/{service}", func(rw http.ResponseWriter, r *http.Request) {
			a, err := w.exec(rw, r)
			if err != nil {
				httpx.WriteProblem(rw, r, err)
				return
			}
			_ = httpx.WriteJSON(rw, http.StatusOK, a)
		})
	}
	return mux
}

// exec answers one call. An error is one of the call (unknown service, no room,
// a body that does not parse); that the function failed is an answer.
func (w *Worker) exec(rw http.ResponseWriter, r *http.Request) (answer, error) {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return answer{}, errs.New(errs.MethodNotAllowed, "%s does not take %s; it takes POST", r.URL.Path, r.Method)
	}
	service := r.PathValue("service")
	if w.handlers[service] == nil {
		return answer{}, errs.New(errs.NotFound, "this worker has no service %q", service)
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	if err != nil {
		return answer{}, err
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return answer{}, errs.Wrap(err, errs.MalformedBody, `the body is not {"input","params"}: %s`, err)
	}
	attempt, _ := strconv.Atoi(r.Header.Get(httpx.HeaderAttempt))
	job := Job{
		RunID:   r.Header.Get(httpx.HeaderIdempotencyKey),
		TaskID:  r.Header.Get(httpx.HeaderTask),
		Node:    r.Header.Get(httpx.HeaderNode),
		Service: service,
		Attempt: attempt,
		trace:   r.Header.Get(tracing.Header),
	}.with(p)
	job.log = func(line string) {
		w.log.Info("job_log", zap.String("run_id", job.RunID), zap.String("line", line))
	}

	return w.deliveries.do(r.Context(), job.RunID, func(ctx context.Context) (answer, error) {
		select {
		case <-w.leaving:
			return answer{}, errs.New(errs.Unavailable, "this worker is about to stop")
		default:
		}
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
			return w.invoke(ctx, job), nil
		default:
			return answer{}, errs.New(errs.Unavailable, "all %d executions of this worker are taken", cap(w.slots))
		}
	})
}
