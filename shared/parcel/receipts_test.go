package parcel_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/parcel"
)

func TestReceipts_AreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := parcel.NewReceipts()
		began := time.Now()
		r.Add()
		r.Add("a", "b")
		<-time.After(50 * time.Millisecond)
		r.Add("c")
		<-r.Due()
		require.Equal(t, 100*time.Millisecond, time.Since(began), "the first waits no longer because of the last")
		var written []string
		require.NoError(t, r.Write(func(ids []string) error { written = ids; return nil }))
		require.Equal(t, []string{"a", "b", "c"}, written)
		require.NoError(t, r.Write(func([]string) error { return errors.New("there are none") }))

		full := time.Now()
		r.Add(make([]string, 500)...)
		<-r.Due()
		require.Equal(t, full, time.Now())
	})
}

func TestReceipts_AreForgottenWhenTheyCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := parcel.NewReceipts()
	r.Add("a")
	away := errors.New("away")
	require.ErrorIs(t, r.Write(func([]string) error { return away }), away)
	require.NoError(t, r.Write(func([]string) error { return away }))
}
