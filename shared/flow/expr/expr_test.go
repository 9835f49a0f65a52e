package expr_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

func scope() expr.Scope {
	return expr.Scope{
		Params: json.RawMessage(`{"a":{"b":[10,9007199254740993]},"text":"$shared.x","n":null}`),
		Shared: json.RawMessage(`{"x":1.50,"a.b":"dotted","list":[1,"two"]}`),
		Input:  json.RawMessage(`{"name":"pocket","n":5}`),
	}
}

func value(t testing.TB, text string) expr.Value {
	t.Helper()
	v, faults := expr.CompileValue(json.RawMessage(text))
	require.Empty(t, faults)
	return v
}

func condition(t testing.TB, text string) expr.Condition {
	t.Helper()
	c, faults := expr.CompileCondition(json.RawMessage(text))
	require.Empty(t, faults)
	return c
}

func TestValue_Resolves(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"$params.a.b[1]"`:       `9007199254740993`,
		`"$shared.x"`:            `1.50`,
		`"$shared[\"a.b\"]"`:     `"dotted"`,
		`"$input"`:               `{"name":"pocket","n":5}`,
		`"$params.text"`:         `"$shared.x"`, // data is not resolved again
		`"$params.missing.deep"`: `null`,
		`"$$shared.x"`:           `"$shared.x"`,
		`"$$"`:                   `"$"`,
		`"a $shared.x"`:          `"a $shared.x"`,
		`1.500`:                  `1.500`,
		`{"a":["$shared.x",{"$b":"$$c"}],"d":{},"e":[]}`: `{"a":[1.50,{"$b":"$c"}],"d":{},"e":[]}`,
		`["$input.n","$input.name"]`:                     `[5,"pocket"]`,
		`"\u0024shared.x"`:                               `1.50`,
		``:                                               `null`,
	} {
		require.Equal(t, want, string(value(t, text).Resolve(scope())), text)
	}
}

func TestValue_KnowsWhatItIs(t *testing.T) {
	t.Parallel()
	require.True(t, value(t, ``).IsZero())
	_, ok := value(t, `"$input.a"`).Ref()
	require.True(t, ok)
	_, ok = value(t, `["$input.a"]`).Ref()
	require.False(t, ok)
	literal, ok := value(t, `"$$a"`).Literal()
	require.True(t, ok)
	require.Equal(t, `"$a"`, string(literal))
	require.True(t, value(t, `[1,"$input.a"]`).Uses(expr.RootInput))
	require.False(t, value(t, `[1,"$input.a"]`).Uses(expr.RootShared))
}

func TestValue_ResultsDoNotReachEachOther(t *testing.T) {
	t.Parallel()
	v := value(t, `{"a":1}`)
	_ = append(v.Resolve(scope()), "scribble"...)
	require.Equal(t, `{"a":1}`, string(v.Resolve(scope())))

	sc := scope()
	before := string(sc.Shared)
	_ = append(value(t, `"$shared.x"`).Resolve(sc), "scribble"...)
	require.Equal(t, before, string(sc.Shared))
}

func TestCompileValue_ReportsBadReferences(t *testing.T) {
	t.Parallel()
	_, faults := expr.CompileValue(json.RawMessage(`{"a":["$","$foo"],"b.c":"$params.","d":"$paramsx","e":"$shared[x]","f":"$shared.[0]","g":"$5"}`))
	var paths []string
	for _, f := range faults {
		require.Equal(t, expr.BadReference, f.Code)
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{"a[0]", "a[1]", `["b.c"]`, "d", "e", "f", "g"}, paths)
}

func TestSelector_LooksInSubjectOrScope(t *testing.T) {
	t.Parallel()
	subject := json.RawMessage(`{"r":[1]}`)
	for text, want := range map[string]string{
		`r[0]`: `1`, ``: `{"r":[1]}`, `$input.n`: `5`, `$shared.none`: `null`, `x`: `null`,
	} {
		s, err := expr.ParseSelector(text)
		require.NoError(t, err)
		got, _ := s.Select(scope(), subject)
		require.Equal(t, want, string(got), text)
	}
	_, err := expr.ParseSelector(`$none.a`)
	require.Error(t, err)
	got, ok := expr.Selector{}.Select(scope(), subject)
	require.False(t, ok)
	require.Equal(t, `null`, string(got))
}

func TestCondition_Holds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"eq":["$input.n",5.0]}`:                              true,
		`{"eq":["$input.n","5"]}`:                              false,
		`{"eq":["$params.a",{"b":[10,9007199254740993]}]}`:     true,
		`{"eq":["$params.a.b[1]",9007199254740992]}`:           false,
		`{"eq":["$input.none",null]}`:                          true,
		`{"ne":["$input.n",5]}`:                                false,
		`{"ne":["$input.n","5"]}`:                              true,
		`{"gt":["$params.a.b[1]",9007199254740992]}`:           true,
		`{"gt":["$input.n",5]}`:                                false,
		`{"ge":["$input.n",5]}`:                                true,
		`{"lt":["$input.name","pod"]}`:                         true,
		`{"le":["$input.name","pocket"]}`:                      true,
		`{"lt":["$input.n","6"]}`:                              false,
		`{"ge":["$input.n","5"]}`:                              false,
		`{"lt":[null,1]}`:                                      false,
		`{"ge":[true,false]}`:                                  false,
		`{"in":["two","$shared.list"]}`:                        true,
		`{"in":[1.0,"$shared.list"]}`:                          true,
		`{"in":[2,"$shared.list"]}`:                            false,
		`{"in":["ock","$input.name"]}`:                         true,
		`{"contains":["$input.name","ock"]}`:                   true,
		`{"contains":["$shared.list","two"]}`:                  true,
		`{"contains":["two","$shared.list"]}`:                  false,
		`{"contains":["$input.n",5]}`:                          false,
		`{"exists":"$shared.x"}`:                               true,
		`{"exists":["$shared.none"]}`:                          false,
		`{"exists":"$params.n"}`:                               false,
		`{"not":{"exists":"$params.n"}}`:                       true,
		`{"not":[{"eq":[1,1]}]}`:                               false,
		`{"and":[{"eq":[1,1]},{"eq":[1,2]}]}`:                  false,
		`{"and":[{"eq":[1,1]}]}`:                               true,
		`{"or":[{"eq":[1,2]},{"eq":[1,1]}]}`:                   true,
		`{"or":[{"eq":[1,2]}]}`:                                false,
		`{"or":[{"and":[{"eq":[1,1]},{"not":{"eq":[1,2]}}]}]}`: true,
		`{"eq":["$$input","$input"]}`:                          false,
		`{"eq":[{"deep":["$input.n"]},{"deep":[5]}]}`:          true,
	} {
		c := condition(t, text)
		require.Equal(t, want, c.Holds(scope()), text)
	}
	var zero expr.Condition
	require.False(t, zero.Holds(scope()))
}

func TestCompileCondition_ReportsEveryFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{}`:                             {"bad_expression "},
		`true`:                           {"bad_expression "},
		`{"eq":[1,1],"ne":[1,2]}`:        {"bad_expression "},
		`{"xor":[]}`:                     {"unknown_operator xor"},
		`{"EQ":[1,1]}`:                   {"unknown_operator EQ"},
		`{"eq":1}`:                       {"bad_expression eq"},
		`{"eq":[1]}`:                     {"bad_expression eq"},
		`{"in":[1,2,3]}`:                 {"bad_expression in"},
		`{"and":{}}`:                     {"bad_expression and"},
		`{"or":[]}`:                      {"bad_expression or"},
		`{"not":[]}`:                     {"bad_expression not"},
		`{"not":1}`:                      {"bad_expression not"},
		`{"exists":"a"}`:                 {"bad_expression exists"},
		`{"exists":["$input","$input"]}`: {"bad_expression exists"},
		`{"and":[{"eq":["$x",1]},{"not":{"no":1}}]}`: {"bad_reference and[0].eq[0]", "unknown_operator and[1].not.no"},
	} {
		_, faults := expr.CompileCondition(json.RawMessage(text))
		var got []string
		for _, f := range faults {
			got = append(got, f.Code+" "+f.Path)
		}
		require.Equal(t, want, got, text)
	}
}

func TestCompileCondition_NamesBothOperators(t *testing.T) {
	t.Parallel()
	_, faults := expr.CompileCondition(json.RawMessage(`{"eq":[1,1],"ne":[1,2]}`))
	require.Contains(t, faults[0].Message, "eq, ne")
}

func TestJoinPath_BracketsWhatCouldBeMisread(t *testing.T) {
	t.Parallel()
	require.Equal(t, `a.b["c.d"][""].e`, expr.JoinPath(expr.JoinPath(expr.JoinPath(expr.JoinPath("a", "b"), "c.d"), ""), "e"))
	require.Less(t, len(expr.JoinPath("a", string(make([]byte, 1<<20)))), 1<<10)
}

func FuzzExpr(f *testing.F) {
	f.Add(`{"and":[{"eq":["$input.n",5]},{"not":{"exists":"$shared.x"}}]}`)
	f.Add(`{"in":["$params.a","$$x"]}`)
	f.Add(`{"contains":[[1,{"a":"$input"}],1e400]}`)
	for _, operator := range []string{"eq", "ne", "gt", "lt", "ge", "le", "in", "contains"} {
		f.Add(`{"` + operator + `":["$input.list[0]",{"a":["$shared[\"a.b\"].c",-1.50,null,true]}]}`)
	}
	f.Add(`{"or":[{"exists":"$params.a[1][\"x y\"]"},{"and":[]},{"not":{"not":{"ge":["a","$$"]}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		c, faults := expr.CompileCondition(json.RawMessage(text))
		first := c.Holds(scope())
		require.Equal(t, first, c.Holds(scope()))
		require.False(t, first && len(faults) > 0)

		v, faults := expr.CompileValue(json.RawMessage(text))
		if len(faults) == 0 {
			require.True(t, json.Valid(v.Resolve(scope())))
		}
	})
}

func BenchmarkValue_Resolve(b *testing.B) {
	for name, text := range map[string]string{
		"literal":   `{"a":1}`,
		"reference": `"$params.a.b[1]"`,
		"template":  `{"id":"$input.n","list":["$shared.x",1],"name":"$input.name"}`,
	} {
		b.Run(name, func(b *testing.B) {
			v, sc := value(b, text), scope()
			b.ReportAllocs()
			for b.Loop() {
				v.Resolve(sc)
			}
		})
	}
}

func BenchmarkCondition_Holds(b *testing.B) {
	c, sc := condition(b, `{"and":[{"gt":["$input.n",3]},{"not":{"exists":"$shared.stop"}},{"in":["two","$shared.list"]}]}`), scope()
	b.ReportAllocs()
	for b.Loop() {
		c.Holds(sc)
	}
}

func ExampleCondition_Holds() {
	c, faults := expr.CompileCondition(json.RawMessage(`{"and": [{"ge": ["$input.total", 100]}, {"not": {"exists": "$shared.approved"}}]}`))
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	fmt.Println(c.Holds(expr.Scope{Input: json.RawMessage(`{"total": 99.99}`)}))
	fmt.Println(c.Holds(expr.Scope{Input: json.RawMessage(`{"total": 1e2}`)}))
	// Output:
	// false
	// true
}
