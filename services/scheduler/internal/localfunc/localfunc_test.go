package localfunc

import (
	"context"
	"encoding/json"
	"math/big"
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
		{f: "mul", input: `[-1.50, 1E+2, 0.25e-1]`, want: `-3.75`},
		{f: "mul", input: `[1e2, 1e-400, 1e400, -0.0]`, want: `0`},
		{f: "mul", input: `[0.10, 1e-3]`, want: `0.0001`},
		{f: "mul", input: `[1e400` + strings.Repeat(",1e400", 20_000) + `]`, fails: "the product has too many digits"},
		{f: "mul", input: `[7` + strings.Repeat(",7", 100_000) + `]`, fails: "the product has too many digits"},
		{f: "mul", input: `[7` + strings.Repeat(",1", 100_000) + `]`, want: `7`},
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

func TestMul_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mul(ctx, Call{Input: json.RawMessage(`[2, 3]`)})
	require.ErrorIs(t, err, context.Canceled)
}

func TestMul_OfManyDigitsIsExact(t *testing.T) {
	t.Parallel()
	const n = maxProduct / 4
	got, err := mul(t.Context(), Call{Input: json.RawMessage(`[0.5` + strings.Repeat(",0.5", n-1) + `]`)})
	require.NoError(t, err)
	want := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), uint(n)))
	require.Equal(t, want.FloatString(n), string(got))
}
