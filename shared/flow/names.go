package flow

import (
	"fmt"
	"strings"
	"unicode"
)

// maxName bounds a name in bytes, as the registry does with the services that
// it lists. Databases index by service, and Postgres takes no more than 2.7 kB
// into an index.
const maxName = 256

// name checks a text that others know something by: a node, an action, a
// service, a key of the shared state. Names become columns, headers and paths
// of URLs, and of those only a JSON text can carry control characters; NUL not
// even a column of Postgres.
func (c *compiler) name(name, path string) {
	if fault := nameFault(name); fault != "" {
		c.faults.add(path, CodeInvalidName, "%s", fault)
	}
}

func nameFault(name string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("the name has %d bytes, more than %d", len(name), maxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the name has control characters"
	}
	return ""
}
