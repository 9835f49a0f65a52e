package alerts

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	rulesDir = "deploy/prometheus/rules"
	runbook  = "https://github.com/pocketflowgo/pocketflow/blob/main/docs/alerts.md#"
)

// rule is an alert or a recording; one of the two names is empty.
type rule struct {
	Record      string
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// rules are those of every file that prometheus.yml loads.
func rules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, name := range ruleFiles(t) {
		var file struct {
			Groups []struct{ Rules []rule }
		}
		require.NoError(t, yaml.Unmarshal([]byte(read(t, rulesDir+"/"+name)), &file), name)
		require.NotEmpty(t, file.Groups, name)
		for _, group := range file.Groups {
			all = append(all, group.Rules...)
		}
	}
	return all
}

func ruleFiles(t *testing.T) []string {
	t.Helper()
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/prometheus/prometheus.yml")), &config))
	require.Equal(t, []string{"rules/*.yml"}, config.RuleFiles)
	return glob(t, rulesDir+"/*.yml")
}

// glob gives the names of the files, without their directory.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root(t), filepath.FromSlash(pattern)))
	require.NoError(t, err)
	require.NotEmpty(t, paths, pattern)
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	return names
}

// recorded adds the recordings to the metrics, in the rules' order: a rule
// reads those before it, in its own file.
func recorded(t *testing.T, known map[string][]string) map[string][]string {
	t.Helper()
	for _, r := range rules(t) {
		if r.Record == "" {
			continue
		}
		require.NoError(t, check(r.Expr, known), r.Record)
		labels, err := outputLabels(r.Expr, known)
		require.NoError(t, err, r.Record)
		known[r.Record] = labels
	}
	return known
}

func TestRules_AskForWhatThereIs(t *testing.T) {
	t.Parallel()

	known := recorded(t, shown(t))
	for _, r := range rules(t) {
		require.NoError(t, check(r.Expr, known), r.Alert+r.Record)
	}
}

// Prometheus' convention for recordings: the labels, the metric, what was done.
func TestRecordings_AreNamedForTheirLabels(t *testing.T) {
	t.Parallel()

	known := recorded(t, shown(t))
	for _, r := range rules(t) {
		if level, _, _ := strings.Cut(r.Record, ":"); r.Record != "" && level != "pocketflow" {
			require.Regexp(t, `^\w+:pocketflow_\w+:\w+$`, r.Record)
			require.Equal(t, level, strings.Join(unique(known[r.Record]), "_"), r.Record)
		}
	}
}

// unique keeps the first of each.
func unique(all []string) (kept []string) {
	seen := map[string]bool{}
	for _, one := range all {
		if !seen[one] {
			seen[one] = true
			kept = append(kept, one)
		}
	}
	return kept
}

var templateLabel = regexp.MustCompile(`\$labels\.(\w+)`)

func TestAlerts_TellWhatAndWhatToDo(t *testing.T) {
	t.Parallel()

	known := recorded(t, shown(t))
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		require.Regexp(t, `^PocketFlow[A-Z]\w+$`, r.Alert)
		require.False(t, seen[r.Alert], "two alerts are called %s", r.Alert)
		seen[r.Alert] = true
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		if r.For != "" {
			_, err := time.ParseDuration(r.For)
			require.NoError(t, err, r.Alert)
		}
		require.Equal(t, runbook+strings.ToLower(r.Alert), r.Annotations["runbook_url"], r.Alert)
		labels, err := outputLabels(r.Expr, known)
		require.NoError(t, err)
		for _, key := range []string{"summary", "description"} {
			require.NotEmpty(t, r.Annotations[key], "%s has no %s", r.Alert, key)
			for _, used := range templateLabel.FindAllStringSubmatch(r.Annotations[key], -1) {
				require.Contains(t, labels, used[1], "%s of %s", key, r.Alert)
			}
		}
	}
}

func TestAlerts_HaveASectionEach(t *testing.T) {
	t.Parallel()

	page := read(t, "docs/alerts.md")
	var headings, alerts []string
	for _, heading := range regexp.MustCompile(`(?m)^## (PocketFlow\w+)$`).FindAllStringSubmatch(page, -1) {
		headings = append(headings, heading[1])
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		_, text, found := strings.Cut(page, "\n## "+r.Alert+"\n")
		require.True(t, found, "docs/alerts.md has no section %s", r.Alert)
		text, _, _ = strings.Cut(text, "\n## ")
		require.Contains(t, text, "**Means**", r.Alert)
		require.Contains(t, text, "**Do**", r.Alert)
		severity := r.Labels["severity"]
		require.True(t, strings.HasPrefix(text, "\n*"+severity+".*"), "the section of %s tells another severity", r.Alert)
		require.Contains(t, page, "| ["+r.Alert+"](#"+strings.ToLower(r.Alert)+") | "+severity+" |", "the table at the top")
	}
	require.ElementsMatch(t, alerts, headings, "sections and alerts")
}

// cases counts what the test files of promtool say of each alert.
type cases struct{ fires, quiet int }

func TestAlerts_HaveACaseThatFiresAndOneThatDoesNot(t *testing.T) {
	t.Parallel()

	tested := map[string]cases{}
	for _, name := range glob(t, rulesDir+"/tests/*.yml") {
		var file struct {
			RuleFiles []string `yaml:"rule_files"`
			Tests     []struct {
				Name  string
				Cases []struct {
					Alert    string `yaml:"alertname"`
					Expected []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		require.NoError(t, yaml.Unmarshal([]byte(read(t, rulesDir+"/tests/"+name)), &file), name)
		require.Equal(t, []string{"../" + name}, file.RuleFiles, name)
		for _, test := range file.Tests {
			require.NotEmpty(t, test.Cases, test.Name)
			for _, c := range test.Cases {
				of := tested[c.Alert]
				if len(c.Expected) > 0 {
					of.fires++
				} else {
					of.quiet++
				}
				tested[c.Alert] = of
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" {
			require.Positive(t, tested[r.Alert].fires, "no case fires %s", r.Alert)
			require.Positive(t, tested[r.Alert].quiet, "no case leaves %s quiet", r.Alert)
		}
	}
}
