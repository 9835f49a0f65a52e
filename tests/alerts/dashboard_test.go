package alerts

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const columns = 24 // of Grafana's grid

// board is the part of a dashboard's JSON that can be wrong without Grafana
// saying so.
type board struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct{ List []variable }
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource source
	GridPos    struct{ X, Y, W, H int }
	Targets    []target
}

type target struct {
	RefID        string
	Datasource   source
	Expr         string
	LegendFormat string
}

type source struct{ Type, UID string }

type variable struct {
	Name       string
	Type       string
	Definition string
	Query      any
	Current    struct{ Value any }
}

func dashboard(t *testing.T) board {
	t.Helper()
	var b board
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/grafana/dashboards/pocketflow.json")), &b))
	require.NotEmpty(t, b.targets())
	return b
}

func (b board) targets() (all []target) {
	for _, p := range b.Panels {
		all = append(all, p.Targets...)
	}
	return all
}

var grafanaVariable = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`)

// plain is an expression as Prometheus gets it.
func plain(expr string) string {
	return grafanaVariable.ReplaceAllStringFunc(expr, func(name string) string {
		if strings.HasPrefix(name, "$__") {
			return "5m"
		}
		return ".*"
	})
}

func TestDashboard_AsksForWhatThereIs(t *testing.T) {
	t.Parallel()

	known := recorded(t, shown(t))
	legend := regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	for _, p := range dashboard(t).Panels {
		for _, asked := range p.Targets {
			expr := plain(asked.Expr)
			require.NoError(t, check(expr, known), p.Title)
			labels, err := outputLabels(expr, known)
			require.NoError(t, err, p.Title)
			for _, used := range legend.FindAllStringSubmatch(asked.LegendFormat, -1) {
				require.Contains(t, labels, used[1], "legend of %q in panel %q", asked.Expr, p.Title)
			}
		}
	}
}

func TestDashboard_UsesTheProvisionedSource(t *testing.T) {
	t.Parallel()

	var provisioned struct {
		Datasources []struct{ UID, Type string }
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/grafana/provisioning/datasources/prometheus.yml")), &provisioned))
	require.Len(t, provisioned.Datasources, 1)

	b := dashboard(t)
	require.Equal(t, "datasource", b.Templating.List[0].Name, "the variables after it ask the source")
	require.Equal(t, provisioned.Datasources[0].Type, b.Templating.List[0].Query)
	require.Equal(t, provisioned.Datasources[0].UID, b.Templating.List[0].Current.Value)
	want := source{Type: provisioned.Datasources[0].Type, UID: "${datasource}"}
	for _, p := range b.Panels {
		if p.Type == "row" {
			continue
		}
		require.Equal(t, want, p.Datasource, p.Title)
		for _, asked := range p.Targets {
			require.Equal(t, want, asked.Datasource, p.Title)
		}
	}
}

func TestDashboard_KnowsItsVariables(t *testing.T) {
	t.Parallel()

	known := shown(t)
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	b := dashboard(t)
	var names []string
	for _, v := range b.Templating.List {
		names = append(names, v.Name)
		if v.Type != "query" {
			continue
		}
		parts := values.FindStringSubmatch(v.Definition)
		require.NotNil(t, parts, v.Definition)
		require.NoError(t, check(plain(parts[1]), known), v.Name)
		require.Equal(t, v.Definition, v.Query.(map[string]any)["query"], v.Name)
	}
	require.Equal(t, append([]string{"datasource"}, targetLabels...), names)
	for _, asked := range b.targets() {
		for _, used := range grafanaVariable.FindAllStringSubmatch(asked.Expr, -1) {
			require.Contains(t, append(names, "__rate_interval"), used[1]+used[2], asked.Expr)
		}
	}
}

func TestDashboard_HasEachPanelOnceAndInItsPlace(t *testing.T) {
	t.Parallel()

	b := dashboard(t)
	require.Equal(t, "PocketFlow", b.Title)
	require.NotEmpty(t, b.UID, "links to it would change at each start")
	ids, titles := map[int]bool{}, map[string]bool{}
	taken := map[[2]int]string{}
	for _, p := range b.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		require.False(t, titles[p.Title], "two panels are called %q", p.Title)
		ids[p.ID], titles[p.Title] = true, true
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		refs := map[string]bool{}
		for _, asked := range p.Targets {
			require.False(t, refs[asked.RefID], "panel %q has two of %s", p.Title, asked.RefID)
			refs[asked.RefID] = true
		}
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, columns, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%q lies over another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
