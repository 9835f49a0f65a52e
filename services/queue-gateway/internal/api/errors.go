package api

import (
	"context"
	"errors"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// problem turns an error of the queue into one for people. What is neither an
// errs.Error nor a storage sentinel comes from a database that cannot be used
// now.
func problem(err error, jobID string) error {
	var e *errs.Error
	switch {
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, storage.ErrNotFound):
		return errs.Wrap(err, errs.NotFound, "there is no job %q", jobID)
	case errors.Is(err, storage.ErrClaimLost):
		return errs.Wrap(err, errs.ClaimLost, "job %q is not this worker's any more: its claim expired or was answered before", jobID)
	case errors.Is(err, storage.ErrEnded):
		return errs.Wrap(err, errs.TaskEnded, "job %q was withdrawn: its task does not wait for it any more", jobID)
	case errors.Is(err, storage.ErrInvalidText), errors.Is(err, storage.ErrInvalidData):
		// Unavailable would have it sent again and again.
		return errs.Wrap(err, errs.InvalidArgument, "the database cannot hold what was sent")
	default:
		return errs.Wrap(err, errs.Unavailable, "the queue's database cannot be used now; try again")
	}
}
