package httpx_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

type item struct {
	Name string `json:"name"`
}

// document has a field of every type that requests are made of.
type document struct {
	Name     string                     `json:"name" alias:"title"`
	Text     *string                    `json:"text"`
	Count    int                        `json:"count"`
	Services []string                   `json:"services"`
	Labels   map[string]string          `json:"labels"`
	Items    []item                     `json:"items"`
	Inner    item                       `json:"inner"`
	Value    json.RawMessage            `json:"value"`
	Values   []json.RawMessage          `json:"values"`
	Extra    map[string]json.RawMessage `json:"extra"`
}

// faults are the path and code of each fault of a refusal.
func faults(t *testing.T, err error) []string {
	t.Helper()
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	out := []string{}
	for _, f := range e.Faults {
		out = append(out, f.Path+" "+f.Code)
	}
	return out
}

func TestUnmarshal_RefusesBrokenUTF8(t *testing.T) {
	t.Parallel()
	for body, where := range map[string]string{
		"{\"name\":\"\xff\"}":                     "line 1, column 10",
		"{\n \"value\":\"a\xc3\"}":                "line 2, column 12",
		"{\"unknown\":\"\xed\xa0\x80\"}":          "line 1, column 13",
		"{\"\xf0\x9f\":1}":                        "line 1, column 3",
		"{\"text\":\"\xe2\x82\xac\",\"x\":\"\x80": "line 1, column 20",
	} {
		err := httpx.Unmarshal([]byte(body), &document{}, httpx.Lenient)
		require.Equal(t, errs.MalformedBody, errs.CodeOf(err), "%q", body)
		require.ErrorContains(t, err, "the body is not UTF-8: "+where, "%q", body)
	}
}

func TestUnmarshal_SaysWhereTheJSONBreaks(t *testing.T) {
	t.Parallel()
	for body, where := range map[string]string{
		`{"name":}`:           "line 1, column 9",
		"{\n\"name\" \"a\"}":  "line 2, column 8",
		"{\"name\":\"\x00\"}": "line 1, column 10",
	} {
		err := httpx.Unmarshal([]byte(body), &document{}, httpx.Lenient)
		require.Equal(t, errs.MalformedBody, errs.CodeOf(err), "%q", body)
		require.ErrorContains(t, err, "the body is not JSON: "+where, "%q", body)
	}
}

func TestUnmarshal_RefusesNULInEveryText(t *testing.T) {
	t.Parallel()
	err := httpx.Unmarshal([]byte(`{
		"title": "\u0000", "text": "a\u0000b", "services": ["a", "\u0000"], "labels": {"a": "\u0000", "b\u0000": "c"},
		"items": [{"name": "a"}, {"name": "\u0000"}], "inner": {"name": "\u0000"}, "extra": {"\u0000": 1}, "count": "x"
	}`), &document{}, httpx.Lenient)
	require.Equal(t, errs.InvalidArgument, errs.CodeOf(err))
	require.Equal(t, []string{
		"count invalid_argument", "extra invalid_argument", "inner.name invalid_argument", "items[1].name invalid_argument",
		"labels invalid_argument", "labels.a invalid_argument", "services[1] invalid_argument", "text invalid_argument",
		"title invalid_argument",
	}, faults(t, err))
	require.ErrorContains(t, httpx.Unmarshal([]byte(`{"name":"\u0000"}`), &document{}, httpx.Lenient),
		"name: must not contain a NUL character")
}

func TestUnmarshal_LeavesJSONValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	var got document
	err := httpx.Unmarshal([]byte(`{"value":{"a\u0000":["\u0000\ud800"]},"values":["\u0000"],"extra":{"a":"\u0000"},"name":"\\u0000\n\t\u0001é"}`),
		&got, httpx.Strict)
	require.NoError(t, err)
	require.Equal(t, `{"a\u0000":["\u0000\ud800"]}`, string(got.Value))
	require.Equal(t, `"\u0000"`, string(got.Values[0]))
	require.Equal(t, `"\u0000"`, string(got.Extra["a"]))
	require.Equal(t, "\\u0000\n\t\x01é", got.Name, "other control characters are for the routes to judge")
}

func TestDecode_RefusesBrokenUTF8BeforeAnythingElse(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("\xff"))
	require.Equal(t, errs.MalformedBody, errs.CodeOf(httpx.Decode(r, &document{})))
}

// Whatever is read can be stored in any database.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{"name":"\u0000"}`, "{\"value\":\"\xff\"}", `{"labels":{"a\u0000":""}}`, `{"items":[{"name":"\ud800"}]}`, `{"text":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got document
		if httpx.Unmarshal(body, &got, httpx.Lenient) != nil {
			return
		}
		texts := append([]string{got.Name, got.Inner.Name}, got.Services...)
		for _, one := range got.Items {
			texts = append(texts, one.Name)
		}
		if got.Text != nil {
			texts = append(texts, *got.Text)
		}
		for key, value := range got.Labels {
			texts = append(texts, key, value)
		}
		for _, text := range texts {
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
		}
		require.True(t, utf8.Valid(got.Value))
	})
}
