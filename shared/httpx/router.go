package httpx

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"sort"
	"strings"

	"github.com/gorilla/mux"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Route is one documented or internal route of a service.
type Route struct {
	Method  string
	Path    string
	Handler HandlerFunc
	// Aliases are further paths with the same meaning (short forms that
	// clients in the field use).
	Aliases []string
	// Internal routes are for the other services: they are served bare only,
	// take bodies of up to MaxInternalBody, and the gateway does not pass them
	// on.
	Internal bool
	// Background routes are what machines ask all the time, long polls and
	// heartbeats: they begin no traces.
	Background bool
}

// Paths lists every path that the route is served at.
func (r Route) Paths() []string {
	bare := append([]string{r.Path}, r.Aliases...)
	if r.Internal {
		return bare
	}
	all := make([]string, 0, 2*len(bare))
	for _, p := range bare {
		all = append(all, p, "/api"+p)
	}
	return all
}

// bounded is the route's handler, which cannot read more of a body than the
// route takes.
func (r Route) bounded() HandlerFunc {
	limit := int64(MaxBody)
	if r.Internal {
		limit = MaxInternalBody
	}
	return func(w http.ResponseWriter, req *http.Request) error {
		req.Body = http.MaxBytesReader(w, req.Body, limit)
		return r.Handler(w, req)
	}
}

// Deps are what a router tells about its requests to.
type Deps struct {
	Log     *zap.Logger
	Metrics *Metrics             // nil: nobody counts
	Traces  trace.TracerProvider // nil: nobody traces
}

// NewRouter serves the routes: a wrong method is 405 with Allow, an unknown
// path 404, OPTIONS 204, HEAD as GET, a panic 500 without a trace of it in the
// answer. Every request gets a request id (the caller's, when it is sane), and
// one line in the log.
func NewRouter(deps Deps, routes []Route) (http.Handler, error) {
	var tracer trace.Tracer
	if deps.Traces != nil {
		tracer = tracing.Tracer(deps.Traces, "shared/httpx")
	}
	byPath := map[string]*served{}
	for _, route := range routes {
		for _, path := range route.Paths() {
			s := byPath[path]
			if s == nil {
				s = &served{Deps: deps, tracer: tracer, path: path, label: route.Path, internal: route.Internal, background: route.Background, methods: methods{}}
				byPath[path] = s
			}
			if _, taken := s.methods[route.Method]; taken {
				return nil, fmt.Errorf("route %s %s is given twice", route.Method, path)
			}
			s.methods[route.Method] = route.bounded()
		}
	}
	router := mux.NewRouter().SkipClean(true) // a redirect to the clean path would be HTML
	for path, s := range byPath {
		router.Handle(path, s.handler(s.methods.dispatch()))
	}
	unknown := &served{Deps: deps, tracer: tracer, label: unmatched}
	router.NotFoundHandler = unknown.handler(func(_ http.ResponseWriter, r *http.Request) error {
		return errs.New(errs.NotFound, "there is no route %s", r.URL.Path)
	})
	return router, nil
}

// methods are the handlers of one path.
type methods map[string]HandlerFunc

func (m methods) dispatch() HandlerFunc {
	names := make([]string, 0, len(m)+2)
	for name := range m {
		names = append(names, name)
	}
	if m[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	names = append(names, http.MethodOptions)
	sort.Strings(names)
	allow := strings.Join(names, ", ")

	return func(w http.ResponseWriter, r *http.Request) error {
		if h, ok := m[r.Method]; ok {
			return h(w, r)
		}
		if h, ok := m[http.MethodGet]; ok && r.Method == http.MethodHead {
			return h(w, r)
		}
		w.Header().Set("Allow", allow)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return errs.New(errs.MethodNotAllowed, "%s does not take %s; it takes %s", r.URL.Path, r.Method, allow)
	}
}

// left reports whether the caller has hung up, a long poll given up at a stop
// say. What fails then fails because of it, and is nothing to look into.
func left(r *http.Request) bool { return r.Context().Err() != nil }

// call turns a panic into an error, so that one bad request cannot take the
// process down.
func call(w http.ResponseWriter, r *http.Request, h HandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http's own sentinel, compared as net/http does
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(w, r)
}

func requestID(r *http.Request) string {
	id := r.Header.Get(HeaderRequestID)
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ids.New(ids.Request)
	}
	return id
}
