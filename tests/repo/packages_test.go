package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	// minPackages is a floor, so that a walk that finds nothing is a failure.
	// Raise it as the tree grows.
	minPackages = 60

	// maxMainLines keeps main to parsing, building and running; all else stands
	// where a test can reach it.
	maxMainLines = 40
)

func TestPackages_HaveOneDocComment(t *testing.T) {
	t.Parallel()

	documented := map[string][]string{} // directory: its files with a package comment
	for _, name := range files(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || inTestdata(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root(t), name), nil,
			parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err)

		dir := path.Dir(name)
		commented := documented[dir]
		if file.Doc != nil {
			commented = append(commented, path.Base(name))
			requireDocStart(t, name, file)
		}
		documented[dir] = commented
	}
	require.GreaterOrEqual(t, len(documented), minPackages, "packages seen")
	for dir, in := range documented {
		if len(in) != 1 {
			t.Errorf("%s: package comments in %v, want them in exactly one file", dir, in)
		}
	}
}

// requireDocStart holds the comment to godoc's opening words, which package
// lists and searches show first.
func requireDocStart(t *testing.T, name string, file *ast.File) {
	t.Helper()
	want := "Package " + file.Name.Name + " "
	if file.Name.Name == "main" {
		want = "Command " + path.Base(path.Dir(name)) + " "
	}
	require.Truef(t, strings.HasPrefix(file.Doc.Text(), want),
		"%s: the package comment begins %.40q, not %q", name, file.Doc.Text(), want)
}

func TestServices_HaveOneSmallMain(t *testing.T) {
	t.Parallel()

	mains := map[string][]string{} // service directory: its main files
	for _, dir := range workspace(t) {
		if path.Dir(dir) == "services" {
			mains[dir] = nil
		}
	}
	for _, name := range files(t) {
		if ok, _ := path.Match("services/*/cmd/*/main.go", name); !ok {
			continue
		}
		dir := path.Dir(path.Dir(path.Dir(name)))
		mains[dir] = append(mains[dir], name)
		if lines := strings.Count(read(t, name), "\n"); lines >= maxMainLines {
			t.Errorf("%s has %d lines, want fewer than %d", name, lines, maxMainLines)
		}
	}
	require.Len(t, mains, 7)
	for dir, found := range mains {
		if len(found) != 1 {
			t.Errorf("%s: mains %v, want one cmd/<name>/main.go", dir, found)
		}
	}
}

// inTestdata tells whether Go itself overlooks the file.
func inTestdata(name string) bool {
	return strings.Contains("/"+name, "/testdata/")
}
