package simulate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnswers_MostSpecificThatIsLeftCounts(t *testing.T) {
	t.Parallel()
	a := newAnswers(read(t, `
answers:
  "*": {result: any}
  a: [{result: first}, {result: twice, times: 2}, {result: last, times: 1}]
  "*/*": {result: two}
  "*/1": {result: star first}
  f/*: {result: star last}
  f/1: {result: exact, times: 1}
  f/*/2: {result: three}
`))
	ask := func(path string) string {
		answer, ok := a.to(Call{Path: path})
		if !ok {
			return "none"
		}
		return string(answer.Result)
	}
	var got []string
	for _, path := range []string{"a", "a", "a", "a", "a", "b", "b", "f/1", "f/1", "f/2", "g/1", "g/2", "f/1/2", "f/1/3"} {
		got = append(got, ask(path))
	}
	require.Equal(t, []string{
		`"first"`, `"twice"`, `"twice"`, `"last"`, `"any"`, `"any"`, `"any"`,
		`"exact"`, `"star last"`, `"star last"`, `"star first"`, `"two"`, `"three"`, "none",
	}, got)
}

func TestAnswers_EveryPathGoesThroughAListByItself(t *testing.T) {
	t.Parallel()
	a := newAnswers(read(t, "answers: {each/*: [{result: 1}, {result: 2}]}"))
	for _, want := range []string{"1", "2", "2"} {
		for _, path := range []string{"each/0", "each/1"} {
			answer, ok := a.to(Call{Path: path})
			require.True(t, ok)
			require.Equal(t, want, string(answer.Result))
		}
	}
}
