package repo

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goMod is the part of `go mod edit -json` that the rules read.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path string }
	Replace []struct{ Old, New struct{ Path string } }
}

func TestModules_AreTheTenOfTheWorkspace(t *testing.T) {
	t.Parallel()

	var onDisk []string
	for _, name := range files(t) {
		if path.Base(name) == "go.mod" {
			onDisk = append(onDisk, path.Dir(name))
		}
	}
	require.ElementsMatch(t, onDisk, append(workspace(t), apart...), "go.mod files and the use lines of go.work")
	require.Len(t, workspace(t), 10)
}

// apart are modules that nothing of the product is built with: in go.work their
// requirements would decide on its versions.
var apart = []string{"deploy/helm/charttest"}

func TestModules_ShareOneGoLine(t *testing.T) {
	t.Parallel()

	var work struct{ Go string }
	goEdit(t, &work, "work", "go.work")
	for dir, mod := range modules(t) {
		require.Equal(t, work.Go, mod.Go, "go line of %s/go.mod", dir)
		require.Equal(t, modulePrefix+dir, mod.Module.Path)
	}
}

// A module builds with GOWORK=off only when its own replace lines name every
// local module that it reaches: those of its dependencies do not count.
func TestModules_ReplaceEveryLocalModuleTheyReach(t *testing.T) {
	t.Parallel()

	all := modules(t)
	for dir, mod := range all {
		replaced := map[string]string{}
		for _, line := range mod.Replace {
			replaced[line.Old.Path] = line.New.Path
		}
		for dep := range reached(all, dir) {
			target, ok := replaced[modulePrefix+dep]
			if !ok {
				t.Errorf("%s/go.mod reaches %s and has no replace line for it", dir, dep)
				continue
			}
			if got := path.Join(dir, target); got != dep {
				t.Errorf("%s/go.mod replaces %s with %s, which is %s", dir, dep, target, got)
			}
		}
	}
}

// modules gives every go.mod of the workspace by its directory.
func modules(t *testing.T) map[string]goMod {
	t.Helper()
	all := map[string]goMod{}
	for _, dir := range workspace(t) {
		var mod goMod
		goEdit(t, &mod, "mod", dir+"/go.mod")
		all[dir] = mod
	}
	return all
}

// reached gives the local modules that dir requires, directly or through others.
func reached(all map[string]goMod, dir string) map[string]bool {
	seen := map[string]bool{}
	queue := []string{dir}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		for _, need := range all[next].Require {
			dep, local := strings.CutPrefix(need.Path, modulePrefix)
			if local && !seen[dep] {
				seen[dep] = true
				queue = append(queue, dep)
			}
		}
	}
	return seen
}
