package api

import (
	"context"
	"errors"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// problem turns an error of the flows into one for people; what names the
// thing that was looked for. What is neither an errs.Error nor a storage
// sentinel comes from a database that cannot be used now.
func problem(err error, what string) error {
	var e *errs.Error
	switch {
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, storage.ErrNotFound):
		return errs.Wrap(err, errs.NotFound, "there is no such %s", what)
	default:
		return errs.Wrap(err, errs.Unavailable, "the catalog's database cannot be used now; try again")
	}
}
