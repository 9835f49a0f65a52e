package obs

import (
	"net/http"
	"net/http/pprof"

	"go.uber.org/zap"
)

// maxLevelBody is the most bytes of a request to change the log level.
const maxLevelBody = 4 << 10

// AdminHandler serves what is for operators alone:
//
//	GET /metrics           the metrics
//	GET, PUT /log/level    {"level":"debug"}: the least level that is logged
//	GET /debug/pprof/      profiles, as `go tool pprof` reads them
//
// A profile can hold what a task holds, so none of it belongs where clients
// are. The command line, which package pprof would show as well, is left out:
// settings given there may be passwords.
func AdminHandler(t *Telemetry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(t.Metrics, t.Log))
	mux.HandleFunc("/log/level", func(w http.ResponseWriter, r *http.Request) {
		before := t.Level.Level()
		r.Body = http.MaxBytesReader(w, r.Body, maxLevelBody)
		// What curl -d says by itself would have the body read as a form.
		r.Header.Set("Content-Type", "application/json")
		t.Level.ServeHTTP(w, r)
		if after := t.Level.Level(); after != before {
			t.Log.Warn("log_level_changed", zap.Stringer("before", before), zap.Stringer("after", after))
		}
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
