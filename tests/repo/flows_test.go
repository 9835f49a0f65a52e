package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// The reference of the definition names every field of it.
func TestFlows_DocumentsEveryField(t *testing.T) {
	t.Parallel()
	text := flowsPage(t)
	for _, of := range []any{
		flow.Definition{}, flow.Edge{}, flow.Node{}, flow.ExecSpec{}, flow.Script{}, flow.Prep{}, flow.Post{},
		flow.Backoff{}, flow.Ref{},
	} {
		for i := range reflect.TypeOf(of).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("json"), ",")
			if name == "" {
				continue // embedded
			}
			require.Regexp(t, "[`{ ]"+name+"[`,: }]", text, "%T", of)
		}
	}
	for _, operator := range expr.Operators {
		require.Contains(t, text, "`"+string(operator))
	}
}

// It explains every code that a task may fail with, and every one of a report.
func TestFlows_DocumentsEveryCode(t *testing.T) {
	t.Parallel()
	text := flowsPage(t)
	seen := 0
	for _, dir := range []string{
		"services/scheduler/internal/engine", "services/scheduler/internal/execute", "services/scheduler/internal/runner",
		"services/scheduler/internal/outbox", "services/queue-gateway/internal/queue", "shared/flow", "shared/flow/expr",
	} {
		for name, code := range codes(t, filepath.Join(root(t), dir)) {
			require.Contains(t, text, "`"+code+"`", "%s of %s", name, dir)
			seen++
		}
	}
	require.GreaterOrEqual(t, seen, 50)
}

// codes are the package's string constants whose names say that they are codes.
func codes(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				code, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				out[spec.Names[0].Name] = code
			}
			return true
		})
	}
	return out
}

// Its definitions publish as they stand, without a warning.
func TestFlows_ShowsDefinitionsThatPublish(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```yaml\n(start:.*?)```").FindAllStringSubmatch(flowsPage(t), -1)
	require.GreaterOrEqual(t, len(blocks), len(flow.Kinds))
	for _, block := range blocks {
		_, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(block[1])}, flow.DefaultLimits())
		require.Empty(t, report.Errors, block[1])
		require.Empty(t, report.Warnings, block[1])
	}
}

// Its links lead to files that are there.
func TestFlows_LinksToWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(flowsPage(t), -1) {
		require.FileExists(t, filepath.Join(root(t), "docs", link[1]))
	}
}

func flowsPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "flows.md"))
	require.NoError(t, err)
	return string(text)
}
