package httpx_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestHeaderText_RefusesWhatIsNoPlainText(t *testing.T) {
	t.Parallel()
	for value, fault := range map[string]string{
		"\xff": "must be UTF-8", "a\x00": "must not contain control characters", "a\tb": "must not contain control characters",
		"\x7f": "must not contain control characters", "\u0085": "must not contain control characters",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.Header.Set(httpx.HeaderIdempotencyKey, value)
		_, err := httpx.HeaderText(r, httpx.HeaderIdempotencyKey)
		require.Equal(t, errs.InvalidArgument, errs.CodeOf(err), "%q", value)
		require.ErrorContains(t, err, "Idempotency-Key: "+fault, "%q", value)
	}
}

func TestHeaderText_GivesTheValueAsItIs(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	got, err := httpx.HeaderText(r, httpx.HeaderIdempotencyKey)
	require.NoError(t, err)
	require.Empty(t, got)
	r.Header.Set("idempotency-key", "Auftrag für 5 €")
	got, err = httpx.HeaderText(r, httpx.HeaderIdempotencyKey)
	require.NoError(t, err)
	require.Equal(t, "Auftrag für 5 €", got)
}
