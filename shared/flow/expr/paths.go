package expr

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// longestName bounds what one name adds to a path: a definition with one huge
// key and a thousand faults under it must not make a report a thousand times
// its own size.
const longestName = 128

// JoinPath appends a field name to a fault's path, in brackets when the name
// could be misread: nodes.B.kind, nodes["a.b"].kind.
func JoinPath(path, name string) string {
	name = errs.Shorten(name, longestName)
	if name == "" || strings.ContainsAny(name, ".[]\" ") || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Sprintf("%s[%q]", path, name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// Rebase puts a relative path under a base.
func Rebase(base, relative string) string {
	switch {
	case base == "":
		return relative
	case relative == "" || relative[0] == '[':
		return base + relative
	default:
		return base + "." + relative
	}
}
