// Package obs makes what a process is seen by from outside: its logs, its
// metrics, its traces, and the admin address where the log level is changed and profiles
// are taken.
//
// Logs are zap's, one JSON object a line on stderr (or a console form for
// people), with snake_case keys. Nothing here or elsewhere logs a payload or a
// secret.
//
// Metrics are Prometheus', in a registry of the process: none is global, so
// that tests may run many services beside each other. A label has few values,
// whatever callers send; docs/metrics.md lists every metric.
package obs
