package httpx

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// unmatched is the label of all paths that no route has, so that a caller who
// makes up paths makes up no series.
const unmatched = "unmatched"

// Metrics count the requests of one service.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// NewMetrics makes and registers the metrics of a service's requests. The label
// is component because scrapers on Kubernetes set one of the name service.
func NewMetrics(registerer prometheus.Registerer, service string) (*Metrics, error) {
	of := prometheus.Labels{"component": service}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pocketflow_http_requests_total", ConstLabels: of,
			Help: "Requests answered, by route template, method and status class.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pocketflow_http_request_duration_seconds", ConstLabels: of,
			Help:    "Time from a request's header to the end of its answer; long polls wait as long as they were asked to.",
			Buckets: obs.FastBuckets,
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pocketflow_http_requests_in_flight", ConstLabels: of,
			Help: "Requests that are being answered, long polls that wait included.",
		}),
	}
	return m, obs.Register(registerer, m.requests, m.seconds, m.inFlight)
}

// of is the part of one route; nil, which counts nothing, without metrics.
func (m *Metrics) of(route string) *routeMetrics {
	if m == nil {
		return nil
	}
	return &routeMetrics{Metrics: m, route: route}
}

// methodNames are the methods that have series of their own. The last one
// stands for all that callers make up.
var methodNames = [...]string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, "other",
}

var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func methodIndex(method string) int {
	if i := slices.Index(methodNames[:], method); i >= 0 {
		return i
	}
	return len(methodNames) - 1
}

func methodLabel(method string) string { return methodNames[methodIndex(method)] }

// routeMetrics are those of one path. Its series are looked up by name once and
// then kept, since each of them is used for every request; none exists before
// the first request that it counts.
type routeMetrics struct {
	*Metrics
	route    string
	counters [len(methodNames)][len(statusClasses)]atomic.Pointer[prometheus.Counter]
	timers   [len(methodNames)]atomic.Pointer[prometheus.Observer]
}

func (m *routeMetrics) begin() {
	if m != nil {
		m.inFlight.Inc()
	}
}

func (m *routeMetrics) end(method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	if status == 0 {
		status = http.StatusOK // net/http answers for a handler that wrote nothing
	}
	at, class := methodIndex(method), min(max(status/100, 1), len(statusClasses))-1
	counter := m.counters[at][class].Load()
	if counter == nil {
		made := m.requests.WithLabelValues(m.route, methodNames[at], statusClasses[class])
		counter = &made
		m.counters[at][class].Store(counter)
	}
	(*counter).Inc()
	timer := m.timers[at].Load()
	if timer == nil {
		made := m.seconds.WithLabelValues(m.route, methodNames[at])
		timer = &made
		m.timers[at].Store(timer)
	}
	(*timer).Observe(took.Seconds())
}
