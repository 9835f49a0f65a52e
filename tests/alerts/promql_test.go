package alerts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// query is what an expression asks for: the series it selects, the labels that
// it groups by, and those that it joins by. Whether it is PromQL at all is promtool's to
// say; this looks at names alone.
type query struct {
	selectors []selector
	grouped   []string
	joined    []string
}

// selector is a metric and the labels of its matchers.
type selector struct {
	metric string
	labels []string
}

var (
	promqlToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_:][\w:]*|[0-9][\w.]*|\S`)
	promqlName  = regexp.MustCompile(`^[A-Za-z_:]`)

	groupings = []string{"by", "without"}
	joins     = []string{"on", "ignoring", "group_left", "group_right"}
	operators = []string{"and", "or", "unless", "bool", "offset", "atan2"}
)

// readQuery finds the names in an expression.
func readQuery(expr string) (query, error) {
	tokens := promqlToken.FindAllString(expr, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	var q query
	for i := 0; i < len(tokens); i++ {
		word := tokens[i]
		switch {
		case word == "{":
			return query{}, fmt.Errorf("a selector without a metric in %q", expr)
		case !promqlName.MatchString(word), slices.Contains(operators, word):
		case word == "group_left" && at(i+1) != "(", word == "group_right" && at(i+1) != "(":
		case slices.Contains(groupings, word), slices.Contains(joins, word):
			into := &q.grouped
			if slices.Contains(joins, word) {
				into = &q.joined
			}
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					*into = append(*into, tokens[i])
				}
			}
		case at(i+1) == "(", slices.Contains(groupings, at(i+1)):
			// A function, or an aggregation that is followed by its labels.
		default:
			s := selector{metric: word}
			if at(i+1) == "{" {
				for i += 2; i < len(tokens) && tokens[i] != "}"; i++ {
					if promqlName.MatchString(tokens[i]) {
						s.labels = append(s.labels, tokens[i])
					}
				}
			}
			q.selectors = append(q.selectors, s)
		}
	}
	return q, nil
}

func TestReadQuery_FindsMetricsAndLabels(t *testing.T) {
	t.Parallel()

	for expr, want := range map[string]query{
		`a_total`: {selectors: []selector{{metric: "a_total"}}},
		`sum by (x, y) (rate(a_total{z=~"b{c}|by", w!='q\'s'}[5m])) / 2e3`: {
			selectors: []selector{{"a_total", []string{"z", "w"}}}, grouped: []string{"x", "y"},
		},
		`sum(a{}) by (x) * on (n, m) group_left max(l:b:c offset 5m) > bool 0.5 unless d == 1`: {
			selectors: []selector{{metric: "a"}, {metric: "l:b:c"}, {metric: "d"}}, grouped: []string{"x"}, joined: []string{"n", "m"},
		},
		`histogram_quantile(0.99, sum by (le) (increase(a_bucket[15m]))) or vector(0)`: {
			selectors: []selector{{metric: "a_bucket"}}, grouped: []string{"le"},
		},
	} {
		got, err := readQuery(expr)
		require.NoError(t, err)
		require.Equal(t, want, got, expr)
	}
	_, err := readQuery(`rate({job="x"}[5m])`)
	require.Error(t, err)
}

// check says what is wrong with the names of an expression; known are the labels
// of each metric.
func check(expr string, known map[string][]string) error {
	q, err := readQuery(expr)
	if err != nil {
		return err
	}
	if len(q.selectors) == 0 {
		return fmt.Errorf("%q asks for no metric", expr)
	}
	var all []string
	for _, s := range q.selectors {
		labels, ok := known[s.metric]
		if !ok {
			return fmt.Errorf("there is no metric %s, in %q", s.metric, expr)
		}
		for _, label := range s.labels {
			if !slices.Contains(labels, label) {
				return fmt.Errorf("%s has no label %s, in %q", s.metric, label, expr)
			}
		}
		all = append(all, labels...)
	}
	for _, label := range slices.Concat(q.grouped, q.joined) {
		if !slices.Contains(all, label) {
			return fmt.Errorf("no metric has the label %s, in %q", label, expr)
		}
	}
	return nil
}

func TestCheck_NamesWhatIsNotThere(t *testing.T) {
	t.Parallel()

	known := map[string][]string{"a_total": {"x", "job"}}
	require.NoError(t, check(`sum by (job) (rate(a_total{x="1"}[5m]))`, known))
	for expr, want := range map[string]string{
		`b_total`:              "no metric b_total",
		`a_total{y="1"}`:       "no label y",
		`sum by (y) (a_total)`: "the label y",
		`time()`:               "no metric",
	} {
		require.ErrorContains(t, check(expr, known), want)
	}
}

// outputLabels are the labels of an expression's result: those that it groups
// by, or those of its metrics when it groups by none.
func outputLabels(expr string, known map[string][]string) ([]string, error) {
	q, err := readQuery(expr)
	if err != nil {
		return nil, err
	}
	consumesLe := strings.Contains(expr, "histogram_quantile")
	if len(q.grouped) > 0 {
		return slices.DeleteFunc(q.grouped, func(label string) bool { return consumesLe && label == "le" }), nil
	}
	var all []string
	for _, s := range q.selectors {
		all = append(all, known[s.metric]...)
	}
	return all, nil
}
