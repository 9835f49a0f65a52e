package api

import (
	"net/http"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// form is how a request names its jobs, and so how it is answered: a single one
// by its own status, a batch by 200 and an outcome for each.
type form string

const (
	single form = "single"
	batch  form = "batch"
)

// writeOutcomes answers a request for the jobs with these ids.
func writeOutcomes(w http.ResponseWriter, form form, outcomes storage.Outcomes, jobID func(i int) string) error {
	if form == single {
		if outcomes[0] != nil {
			return problem(outcomes[0], jobID(0))
		}
		return httpx.WriteJSON(w, http.StatusOK, done)
	}
	out := queueapi.Outcomes{Results: make([]queueapi.Outcome, 0, len(outcomes))}
	for i, err := range outcomes {
		one := queueapi.Outcome{QueueID: jobID(i), OK: done.OK}
		if err != nil {
			err = problem(err, jobID(i))
			one.OK, one.Code, one.Error = "", errs.CodeOf(err), errs.DetailOf(err)
		}
		out.Results = append(out.Results, one)
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
}
