package repo

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// modulePrefix begins the path of every module of the workspace.
const modulePrefix = "github.com/pocketflowgo/pocketflow/"

// root is the repository's directory, where go.work is.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.work"))
	return dir
}

// notOurs names the directories that .gitignore leaves out, with git's own.
var notOurs = map[string]bool{".git": true, ".bin": true, "bin": true, "data": true}

// files lists every file of the repository, relative to the root and with
// slashes. It walks instead of asking git, so that the rules also hold in an
// unpacked archive.
func files(t *testing.T) []string {
	t.Helper()
	dir := root(t)
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if notOurs[rel] || entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// read gives the text of a file that is named relative to the root.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// workspace lists the modules' directories as go.work gives them, without "./".
func workspace(t *testing.T) []string {
	t.Helper()
	var work struct {
		Use []struct{ DiskPath string }
	}
	goEdit(t, &work, "work", "go.work")
	dirs := make([]string, 0, len(work.Use))
	for _, use := range work.Use {
		dirs = append(dirs, filepath.ToSlash(filepath.Clean(use.DiskPath)))
	}
	return dirs
}

// goEdit decodes what `go mod edit -json` or `go work edit -json` says of a
// file, which spares this package a parser of its own.
func goEdit(t *testing.T, into any, verb, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", verb, "edit", "-json", name)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	require.NoError(t, err, "go %s edit -json %s", verb, name)
	require.NoError(t, json.Unmarshal(out, into))
}
