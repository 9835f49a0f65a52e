package roster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// What one registration may hold. The bounds keep a broken worker from filling
// the view that every replica and scheduler has in memory.
const (
	maxName     = 256 // bytes of an id, a service, a label's key
	maxURL      = 2048
	maxServices = 1000
	maxLabels   = 64
	maxLabel    = 1024
)

func (r *Roster) checkRegistration(w storage.Worker) error {
	faults := slices.Concat(checkID(w.ID), checkServices(w.Services), r.checkURL(w.Type, w.URL), checkLabels(w.Labels))
	if w.Type == storage.WorkerHTTP && w.URL == "" {
		faults.Add("url", "is required for a worker of type http")
	}
	if !slices.Contains(storage.WorkerTypes, w.Type) {
		faults.Add("type", "must be http, async or local")
	}
	faults = append(faults, checkLoad(w.Load)...)
	if w.MaxConcurrency < 0 {
		faults.Add("max_concurrency", "must not be negative")
	}
	return faults.Err()
}

// checkURL judges an address that was given; whether one is needed is the
// registration's affair. A worker that is not called may name the queue, but
// an address that lists show has to pass in any case.
func (r *Roster) checkURL(kind storage.WorkerType, url string) (faults errs.Faults) {
	switch {
	case url == "" || (url == registryapi.QueueURL && kind != storage.WorkerHTTP):
		return nil
	case len(url) > maxURL:
		faults.Add("url", "is over %d bytes", maxURL)
		return faults
	}
	for _, message := range r.config.Addresses.Check(url) {
		faults.Add("url", "%s", message)
	}
	return faults
}

func checkID(id string) errs.Faults { return checkName("id", id) }

func checkServices(services []string) (faults errs.Faults) {
	switch {
	case len(services) == 0:
		faults.Add("services", "must name at least one service")
	case len(services) > maxServices:
		faults.Add("services", "must not name more than %d services", maxServices)
		return faults
	}
	for i, service := range services {
		faults = append(faults, checkName(fmt.Sprintf("services[%d]", i), service)...)
	}
	return faults
}

func checkLabels(labels map[string]string) (faults errs.Faults) {
	if len(labels) > maxLabels {
		faults.Add("labels", "must not hold more than %d labels", maxLabels)
		return faults
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if checkName("", key) != nil {
			faults.Add("labels", "must have keys of 1 to %d bytes without control characters", maxName)
			continue
		}
		if value := labels[key]; len(value) > maxLabel || !plain(value) {
			faults.Add("labels."+key, "must have at most %d bytes and no control characters", maxLabel)
		}
	}
	return faults
}

func checkLoad(load int) (faults errs.Faults) {
	if load < 0 {
		faults.Add("load", "must not be negative")
	}
	return faults
}

func checkName(path, name string) (faults errs.Faults) {
	switch {
	case strings.TrimSpace(name) == "":
		faults.Add(path, "is required")
	case len(name) > maxName:
		faults.Add(path, "is over %d bytes", maxName)
	case !plain(name):
		faults.Add(path, "must not hold control characters")
	}
	return faults
}

// plain tells whether text can be stored and shown anywhere: Postgres takes no
// NUL in text, and other control characters garble logs and terminals.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}
