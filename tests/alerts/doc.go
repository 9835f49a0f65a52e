// Package alerts holds what watches the suite to what the suite shows: the rules
// and the dashboard ask for metrics and labels that docs/metrics.md has, each
// alert has a case that fires it, one that does not, and a section in
// docs/alerts.md. Prometheus' own promtool judges the rules and runs the cases.
//
// It starts no service. That the page tells the truth about a running suite is
// the test's beside the suite.
package alerts
