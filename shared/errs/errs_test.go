package errs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

func TestFaults_NoneAreNoError(t *testing.T) {
	t.Parallel()
	var faults errs.Faults
	require.NoError(t, faults.Err())
}

func TestFaults_AreAllInTheError(t *testing.T) {
	t.Parallel()
	var faults errs.Faults
	faults.Add("name", "is over %d bytes", 256)
	faults.Add("", "comes too late")
	err := faults.Err()
	require.Equal(t, errs.InvalidArgument, errs.CodeOf(err))
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "name: is over 256 bytes (and 1 more)", e.Detail)
	require.Equal(t, []errs.Fault{
		{Path: "name", Code: "invalid_argument", Message: "is over 256 bytes"},
		{Path: "", Code: "invalid_argument", Message: "comes too late"},
	}, e.Faults)
}

func TestShorten_CutsAtAWholeCharacter(t *testing.T) {
	t.Parallel()
	require.Equal(t, "héé", errs.Shorten("héé", 5))
	require.Equal(t, "hé…", errs.Shorten("héé", 4))
	require.Equal(t, "…", errs.Shorten("éé", 1))
	require.Empty(t, errs.Shorten("", 0))
}
