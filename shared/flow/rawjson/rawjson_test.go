package rawjson_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

func raw(text string) json.RawMessage { return json.RawMessage(text) }

func TestMarshal_LeavesTextAsItIs(t *testing.T) {
	t.Parallel()
	text, err := rawjson.Marshal(map[string]any{"raw": json.RawMessage(`["<&>", 1.0]`), "text": "<&>"})
	require.NoError(t, err)
	require.Equal(t, `{"raw":["<&>",1.0],"text":"<&>"}`, string(text))
	_, err = rawjson.Marshal(json.RawMessage(`{`))
	require.Error(t, err)
}

func TestLookup_FollowsPaths(t *testing.T) {
	t.Parallel()
	doc := raw(` {"a": {"b": [10, {"c": "x"}], "": 0}, "a.b": 1, "k[0]": 2, "0": "zero", "#": 3, "@this": 4, "*": 5, "q\u0022": 6, "é": 7, "n": null, "a b": 8} `)
	for path, want := range map[string]string{
		``:             strings.TrimSpace(string(doc)),
		`a.b[0]`:       `10`,
		`a.b.0`:        `10`,
		`a.b[1].c`:     `"x"`,
		`a["b"][1]`:    `{"c": "x"}`,
		`["a.b"]`:      `1`,
		`["k[0]"]`:     `2`,
		`a[""]`:        `0`,
		`0`:            `"zero"`,
		`#`:            `3`,
		`@this`:        `4`,
		`*`:            `5`,
		`["q\""]`:      `6`,
		`é`:            `7`,
		`["\u00e9"]`:   `7`,
		`n`:            `null`,
		`a b`:          `8`,
		`a.b[2]`:       ``,
		`a.b["0"]`:     ``,
		`a.b.#`:        ``,
		`[0]`:          ``,
		`a.b.c`:        ``,
		`n.x`:          ``,
		`a.b[0].x`:     ``,
		`missing.deep`: ``,
	} {
		p, err := rawjson.ParsePath(path)
		require.NoError(t, err, path)
		got, ok := p.Lookup(doc)
		require.Equal(t, want != "", ok, path)
		require.Equal(t, want, string(got), path)
	}
}

func TestParsePath_RefusesWhatIsNoPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		`.`, `.a`, `a.`, `a..b`, `a[`, `a[]`, `a[x]`, `a[-1]`, `a[0`, `a[0]b`, `a["b`, `a["b"`, `a["b"x]`, `a["\x"]`,
		`a]`, `a"b`, `$a`, `a[99999999999]`, `a.[0]`, `["`, `["\`,
	} {
		_, err := rawjson.ParsePath(path)
		require.Error(t, err, path)
	}
}

func TestLookup_NeedsNoMemory(t *testing.T) { //nolint:paralleltest // other tests' allocations would be counted
	doc := raw(`{"a":{"b":[1,{"key":"x"}]}}`)
	p, err := rawjson.ParsePath(`a.b[1].key`)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Lookup(doc) }))
}

func TestSet_KeepsTheOtherBytes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ object, key, value, want string }{
		{`{}`, `a`, `1`, `{"a":1}`},
		{` { } `, `a`, ` 1 `, `{"a":1}`},
		{``, `a`, ``, `{"a":null}`},
		{`null`, `a`, `1`, `{"a":1}`},
		{`[1]`, `a`, `1`, `{"a":1}`},
		{`{"x": 1.0e2 }`, `a`, `1`, `{"x": 1.0e2 ,"a":1}`},
		{`{"x":1, "a" : [2,{"a":3}] ,"y":{}}`, `a`, `4`, `{"x":1, "a" : 4 ,"y":{}}`},
		{`{"\u0061":1}`, `a`, `2`, `{"\u0061":2}`},
		{`{"s":"}\"a\":1"}`, `a`, `2`, `{"s":"}\"a\":1","a":2}`},
		{`{}`, "q\"\n<é", `1`, `{"q\"\n<é":1}`},
	} {
		object := raw(tc.object)
		got := rawjson.Set(object, tc.key, raw(tc.value))
		require.Equal(t, tc.want, string(got))
		require.True(t, json.Valid(got))
		require.Equal(t, tc.object, string(object), "the argument stays as it is")
	}
}

func TestMerge_LaysObjectsOverEachOther(t *testing.T) {
	t.Parallel()
	got := rawjson.Merge(raw(`{"a":1.0,"b":{"x":1}}`), nil, raw(`null`), raw(`{"b":{"y":2},"c":3}`), raw(`{"a":4}`))
	require.Equal(t, `{"a":4,"b":{"y":2},"c":3}`, string(got))
	require.Equal(t, `{}`, string(rawjson.Merge()))
	require.Equal(t, `{}`, string(rawjson.Merge(raw(`[1]`))))
}

func TestEqual_ComparesValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true},
		{`1`, `10e-1`, true},
		{`100`, `1E+2`, true},
		{`0`, `-0.0e5`, true},
		{`1`, `"1"`, false},
		{`1`, `true`, false},
		{`-1`, `1`, false},
		{`9007199254740992`, `9007199254740993`, false},
		{`0.1000000000000000000000000000001`, `0.1`, false},
		{`1e999999999`, `10e999999998`, true},
		{`1e999999999`, `1e999999998`, false},
		{`0e99999999999999999999999`, `0`, true},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"A"`, false},
		{`null`, `null`, true},
		{`null`, ``, true},
		{`null`, `0`, false},
		{`true`, `true`, true},
		{`true`, `false`, false},
		{`[1,[2]]`, ` [ 1.0 , [ 2 ] ] `, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,2]`, false},
		{`[1,2]`, `[1]`, false},
		{`[]`, `{}`, false},
		{`{"a":1,"b":2}`, `{"b":2.0,"\u0061":1}`, true},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`{"a":null}`, `{"b":null}`, false},
	} {
		require.Equal(t, tc.want, rawjson.Equal(raw(tc.a), raw(tc.b)), "%s %s", tc.a, tc.b)
		require.Equal(t, tc.want, rawjson.Equal(raw(tc.b), raw(tc.a)), "%s %s", tc.b, tc.a)
	}
}

func TestInt_ReadsWholeNumbersHoweverWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "-0.0": 0, "100": 100, "1e2": 100, "-1.50E+3": -1500, "120e-1": 12, "0e99999999999": 0,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808.0": math.MinInt64, "9.223372036854775807e18": math.MaxInt64,
	} {
		n, err := rawjson.Int(json.RawMessage(text))
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}
	for _, text := range []string{
		"", "null", "true", `"1"`, "[1]", "1.5", "1e-1", "9223372036854775808", "9223372036854775808.0", "1e19", "1e999999999999999999999",
	} {
		_, err := rawjson.Int(json.RawMessage(text))
		require.Error(t, err, text)
	}
}

func TestCompare_OrdersNumbersAsBigRatDoes(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		ratA, okA := new(big.Rat).SetString(a)
		ratB, okB := new(big.Rat).SetString(b)
		require.True(t, okA && okB)
		order, ok := rawjson.Compare(raw(a), raw(b))
		require.True(t, ok)
		require.Equal(t, ratA.Cmp(ratB), order, "%s %s", a, b)
		require.Equal(t, order == 0, rawjson.Equal(raw(a), raw(b)))
	})
}

func TestCompare_RefusesMixedTypes(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{`1`, `"1"`}, {`true`, `false`}, {`null`, `null`}, {`[1]`, `[2]`}, {``, ``}} {
		_, ok := rawjson.Compare(raw(pair[0]), raw(pair[1]))
		require.False(t, ok, pair)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	require.True(t, rawjson.Contains(raw(`[1,{"a":2.0}]`), raw(`{"a":2}`)))
	require.False(t, rawjson.Contains(raw(`["1"]`), raw(`1`)))
	require.True(t, rawjson.Contains(raw(`"a\u0062c"`), raw(`"b"`)))
	require.False(t, rawjson.Contains(raw(`"123"`), raw(`2`)))
	require.False(t, rawjson.Contains(raw(`{"a":1}`), raw(`"a"`)))
}

// value draws any JSON value, by way of encoding/json.
func value() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
	)
	var deep func(int) *rapid.Generator[any]
	deep = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(deep(depth-1), 0, 4), func(s []any) any { return s }),
			rapid.Map(rapid.MapOfN(rapid.String(), deep(depth-1), 0, 4), func(m map[string]any) any { return m }),
		)
	}
	return deep(3)
}

func encode(t *rapid.T, v any) json.RawMessage {
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return out
}

func TestSet_ThenFieldReadsItBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOf(rapid.String(), value()).Draw(t, "object")
		key := rapid.String().Draw(t, "key")
		v := encode(t, value().Draw(t, "value"))

		got := rawjson.Set(encode(t, object), key, v)
		read, ok := rawjson.Field(got, key)
		require.True(t, ok)
		require.Equal(t, string(v), string(read))

		object[key] = v
		require.JSONEq(t, string(encode(t, object)), string(got))
	})
}

func TestEqual_IsBlindToLayout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := encode(t, value().Draw(t, "value"))
		var wide bytes.Buffer
		require.NoError(t, json.Indent(&wide, v, " ", "\t"))
		require.True(t, rawjson.Equal(v, wide.Bytes()))
	})
}

func FuzzPath(f *testing.F) {
	f.Add(`a.b[0]["c.d"]`, `{"a":{"b":[{"c.d":1}]}}`)
	f.Add(`["\u0000"]`, `{"\u0000":[`)
	f.Add(`a`, `{"a`)
	f.Fuzz(func(t *testing.T, path, doc string) {
		p, err := rawjson.ParsePath(path)
		if err != nil {
			return
		}
		got, ok := p.Lookup(raw(doc))
		if ok && json.Valid([]byte(doc)) {
			require.True(t, json.Valid(got))
		}
	})
}

func FuzzSet(f *testing.F) {
	f.Add(`{"a":1}`, `a`, `2`)
	f.Add(`{"a":1,}`, `b`, `{`)
	f.Fuzz(func(t *testing.T, object, key, v string) {
		got := rawjson.Set(raw(object), key, raw(v))
		merged := rawjson.Merge(raw(object), raw(v))
		rawjson.Equal(raw(object), raw(v))
		rawjson.Contains(raw(object), raw(v))
		if json.Valid([]byte(object)) && json.Valid([]byte(v)) {
			require.True(t, json.Valid(got))
			require.True(t, json.Valid(merged))
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	doc := raw(`{"customer":{"name":"x","orders":[{"id":1},{"id":2}]},"total":12.50,"lines":[1,2,3]}`)
	p, err := rawjson.ParsePath(`customer.orders[1].id`)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		p.Lookup(doc)
	}
}

func BenchmarkSet(b *testing.B) {
	doc := raw(`{"customer":{"name":"x","orders":[{"id":1},{"id":2}]},"total":12.50,"lines":[1,2,3]}`)
	for name, key := range map[string]string{"replace": "total", "append": "result"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rawjson.Set(doc, key, raw(`{"ok":true}`))
			}
		})
	}
}

func BenchmarkEqual_Numbers(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rawjson.Equal(raw(`9007199254740993`), raw(`9007199254740993.0`))
	}
}

func TestPath_SetMakesTheWay(t *testing.T) {
	t.Parallel()
	for _, tc := range [][3]string{
		{`{"a":1}`, `b.c`, `{"a":1,"b":{"c":7}}`},
		{`{"a":{"b":1,"c":2}}`, `a.b`, `{"a":{"b":7,"c":2}}`},
		{`{"a":[1,{"x":2},3]}`, `a[1].x`, `{"a":[1,{"x":7},3]}`},
		{`{"a":[1]}`, `a[5]`, `{"a":[1]}`},
		{`{"a":1}`, `a.b`, `{"a":{"b":7}}`},
		{`null`, `["a.b"].c`, `{"a.b":{"c":7}}`},
		{`1`, ``, `7`},
	} {
		path, err := rawjson.ParsePath(tc[1])
		require.NoError(t, err)
		require.Equal(t, tc[2], string(path.Set(json.RawMessage(tc[0]), json.RawMessage(`7`))), tc[1])
	}
}

func TestBase_MergesAsMergeDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.Custom(func(t *rapid.T) json.RawMessage {
			out := json.RawMessage(rapid.SampledFrom([]string{`{}`, `{ "s" : 1 , "t":{"x":[1]} }`, `null`}).Draw(t, "start"))
			for range rapid.IntRange(0, 4).Draw(t, "keys") {
				out = rawjson.Set(out, rapid.SampledFrom([]string{"a", "b", "s", "c\n"}).Draw(t, "key"), json.RawMessage(rapid.SampledFrom([]string{`1`, `"x"`, `{"a":2}`}).Draw(t, "value")))
			}
			return out
		})
		base, layer := object.Draw(t, "base"), object.Draw(t, "layer")
		opened := rawjson.NewBase(base)
		require.Equal(t, string(rawjson.Merge(base, layer)), string(opened.Merge(layer)))
	})
}

func TestTooDeep_CountsLevelsOutsideTexts(t *testing.T) {
	t.Parallel()
	nested := func(levels int) []byte {
		return []byte(strings.Repeat(`{"a":[`, levels/2) + `"[[{{\"[["` + strings.Repeat(`]}`, levels/2))
	}
	require.False(t, rawjson.TooDeep(nested(rawjson.MaxDepth)))
	require.True(t, rawjson.TooDeep(nested(rawjson.MaxDepth+2)))
	require.False(t, rawjson.TooDeep([]byte(`[`+strings.Repeat(`[],`, 5000)+`[]]`)))
}
