package localfunc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestBuiltin(t *testing.T) {
	t.Parallel()
	cases := []struct{ f, input, params, want, fails string }{
		{f: "echo", input: `{"a": 1.0}`, want: `{"a": 1.0}`},
		{f: "log_result", input: `[1]`, want: `[1]`},
		{f: "upper", input: `"stra\u00dfe é"`, want: `"STRAßE É"`},
		{f: "upper", input: `null`, params: `{"text":"x"}`, want: `"X"`},
		{f: "upper", input: `5`, fails: "string"},
		{f: "mul", input: `[2, 3.5, 1e2]`, want: `700`},
		{f: "mul", input: `[0.1, 0.2]`, want: `0.02`},
		{f: "mul", input: `{"a": 9007199254740993, "b": 3}`, want: `27021597764222979`},
		{f: "mul", input: `4`, params: `{"by": -0.5}`, want: `-2`},
		{f: "mul", input: `[]`, want: `1`},
		{f: "mul", input: `["4"]`, fails: "numbers only"},
		{f: "mul", input: `"4"`, fails: "takes an array"},
		{f: "mul", input: `[1e999999999]`, fails: "too many digits"},
		{f: "mul", input: `[1e99999999999999999999]`, fails: "exponent"},
		{f: "mul", input: `[` + strings.Repeat("9", 500) + `]`, fails: "too many digits"},
	}
	funcs := Builtin(zap.NewNop())
	for _, c := range cases {
		got, err := funcs[c.f](t.Context(), Call{Input: json.RawMessage(c.input), Params: json.RawMessage(c.params)})
		if c.fails != "" {
			require.ErrorContains(t, err, c.fails, c.input)
			continue
		}
		require.NoError(t, err, c.input)
		require.Equal(t, c.want, string(got), c.input)
	}
}
