package repo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The images fetch dependencies before they see any source, which the go.mod of
// every module in them decides.
func TestDockerfile_CopiesTheGoModOfEveryModule(t *testing.T) {
	t.Parallel()

	text := read(t, "deploy/Dockerfile")
	for _, dir := range workspace(t) {
		if dir == "tests" { // in no image
			continue
		}
		require.Contains(t, text, "\nCOPY "+dir+"/go.* "+dir+"/\n")
		top, _, _ := strings.Cut(dir, "/")
		require.Contains(t, text, "\nCOPY "+top+" "+top+"\n")
	}
}

// The engine that stacks are tested with reads the Dockerfile dialect of
// BuildKit 0.8, without a frontend image to fetch.
func TestDockerfile_StaysInTheOldDialect(t *testing.T) {
	t.Parallel()

	text := read(t, "deploy/Dockerfile")
	for _, newer := range []string{"# syntax=", "<<", "--link", "--parents", "--exclude", "--start-interval", "--network"} {
		require.NotContains(t, text, newer)
	}
}
