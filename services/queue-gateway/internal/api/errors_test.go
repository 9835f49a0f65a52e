package api

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestProblem_TellsWhatToRepeat(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]errs.Code{
		storage.ErrNotFound:               errs.NotFound,
		storage.ErrClaimLost:              errs.ClaimLost,
		storage.ErrEnded:                  errs.TaskEnded,
		storage.ErrInvalidText:            errs.InvalidArgument,
		storage.ErrInvalidData:            errs.InvalidArgument,
		errors.New("connection reset"):    errs.Unavailable,
		errs.New(errs.BodyTooLarge, "so"): errs.BodyTooLarge,
	} {
		require.Equal(t, want, errs.CodeOf(problem(fmt.Errorf("put: %w", err), "job-1")), err.Error())
	}
}
