package repo

import (
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// minTextFiles is a floor, so that a walk that finds nothing is a failure.
const minTextFiles = 350

var (
	// Image names carry no host, so that a mirror or an air-gapped registry is a
	// setting of the engine and not an edit of the tree.
	registryHost = regexp.MustCompile(
		`(?:^|[^\w.-])(?:[\w-]+\.)*(?:docker\.io|gcr\.io|ghcr\.io|quay\.io|registry\.k8s\.io|mcr\.microsoft\.com|public\.ecr\.aws|pkg\.dev)/`)

	// A path of one machine is broken on every other.
	machinePath = regexp.MustCompile(`(?:^|[^\w./$}-])/(?:root|work|Users/\w+|home/\w+)/`)
)

func TestText_NamesNoRegistryAndNoMachine(t *testing.T) {
	t.Parallel()

	seen := 0
	for _, name := range files(t) {
		if path.Base(name) == "go.sum" || name == "go.work.sum" || name == "tests/repo/portable_test.go" {
			continue
		}
		text := read(t, name)
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			continue // a picture or the like
		}
		seen++
		for i, line := range strings.Split(text, "\n") {
			if hit := registryHost.FindString(line); hit != "" {
				t.Errorf("%s:%d names a container registry: %q", name, i+1, hit)
			}
			// A Dockerfile's paths are the image's own.
			if hit := machinePath.FindString(line); hit != "" && path.Base(name) != "Dockerfile" {
				t.Errorf("%s:%d names a path of one machine: %q", name, i+1, hit)
			}
		}
	}
	require.GreaterOrEqual(t, seen, minTextFiles, "text files seen")
}

func TestPatterns_TellMachinesFromRoutes(t *testing.T) {
	t.Parallel()

	for _, text := range []string{"FROM gcr.io/distroless/static", "image: eu.gcr.io/a/b", `"docker.io/library/postgres"`} {
		require.Regexp(t, registryHost, text)
	}
	for _, text := range []string{"apt-get install docker.io", "FROM postgres:17-alpine", "https://gcr.io.example.com/"} {
		require.NotRegexp(t, registryHost, text)
	}
	for _, text := range []string{"cd /root/x", "see /work/a", `"/home/ann/src"`, "open /Users/ann/x"} {
		require.Regexp(t, machinePath, text)
	}
	for _, text := range []string{"POST /workers/register", "http://host/work/list", "./root/a", "${DIR}/work/"} {
		require.NotRegexp(t, machinePath, text)
	}
}
