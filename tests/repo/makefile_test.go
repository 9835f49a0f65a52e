package repo

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z-]*):(?:[^=]|$).*$`)
	makeHelp   = regexp.MustCompile(`## \S.{5,}`)
	makePhony  = regexp.MustCompile(`(?m)^\.PHONY: (.+)$`)
)

func TestMakefile_ExplainsEveryTarget(t *testing.T) {
	t.Parallel()

	text := read(t, "Makefile")
	var targets []string
	for _, rule := range makeTarget.FindAllStringSubmatch(text, -1) {
		targets = append(targets, rule[1])
		require.Regexp(t, makeHelp, rule[0], "target %s has no ## help", rule[1])
	}
	phony := makePhony.FindStringSubmatch(text)
	require.NotNil(t, phony)
	require.ElementsMatch(t, targets, strings.Fields(phony[1]), "targets and the .PHONY line")
	require.Subset(t, targets, []string{"build", "demo", "test", "race", "lint", "standalone"})
}
