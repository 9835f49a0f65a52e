package obs

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Namespace begins the name of every metric of the suite.
const Namespace = "pocketflow"

// FastBuckets are the seconds of what is done in memory, in a commit or in a
// call; from half a millisecond to ten seconds. Few, because each is a series
// of every route.
var FastBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 10}

// SlowBuckets are the seconds of what workers and flows take; from five
// milliseconds to a day.
var SlowBuckets = []float64{.005, .025, .1, .5, 1, 5, 30, 60, 300, 3600, 86400}

// Register adds collectors to a registry. Without one they count for nobody,
// which is what tests that look at no metric want.
func Register(metrics prometheus.Registerer, all ...prometheus.Collector) error {
	if metrics == nil {
		return nil
	}
	for _, one := range all {
		if err := metrics.Register(one); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// What a scrape may take: collectors that ask a database bound themselves, and
// a scraper that has given up is not worth more.
const (
	scrapeTimeout = 10 * time.Second
	scrapesAtOnce = 4
)

// MetricsHandler serves what is in the registry. What cannot be collected is
// logged and left out: a database that is away must not hide all else.
func MetricsHandler(metrics prometheus.Gatherer, log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog:            zap.NewStdLog(log),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
	})
}
