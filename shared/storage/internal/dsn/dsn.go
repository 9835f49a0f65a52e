// Package dsn reads data source names: the one setting that decides which
// driver a service uses. It opens nothing, and no text it returns holds a
// password.
package dsn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// DSN is a data source name, taken apart.
type DSN struct {
	Dialect string // migrations.SQLite or migrations.Postgres
	Path    string // of the database file; SQLite only
	URL     string // as given, password included; Postgres only
}

const forms = "use a path that ends in .db, sqlite://./data/<name>.db, sqlite:///absolute/path.db or postgres://user:password@host:5432/database"

// Parse takes a data source name apart.
func Parse(text string) (DSN, error) {
	scheme, rest, found := strings.Cut(text, "://")
	switch {
	case !found && strings.HasSuffix(text, ".db"):
		return parseSQLite(text) // a plain path, as older deployments have it
	case !found:
		return DSN{}, errors.New("database URL has no scheme; " + forms)
	}
	switch scheme {
	case "sqlite":
		return parseSQLite(rest)
	case "postgres", "postgresql":
		// The parser's own error repeats the URL, password and all.
		parsed, err := url.Parse(text)
		if err != nil {
			return DSN{}, errors.New("database URL does not parse; " + forms)
		}
		if parsed.Host == "" && parsed.Query().Get("host") == "" {
			return DSN{}, errors.New("database URL names no host; " + forms)
		}
		return DSN{Dialect: migrations.Postgres, URL: text}, nil
	default:
		return DSN{}, fmt.Errorf("database URL has unknown scheme %q; %s", scheme, forms)
	}
}

func parseSQLite(path string) (DSN, error) {
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		return DSN{}, errors.New("database URL names no file; " + forms)
	case strings.HasPrefix(path, ":memory:"):
		return DSN{}, errors.New("an in-memory database cannot be durable; " + forms)
	case strings.ContainsAny(path, "?#"):
		return DSN{}, errors.New("a sqlite database URL takes no parameters; " + forms)
	}
	return DSN{Dialect: migrations.SQLite, Path: path}, nil
}

// String is the name without its password.
func (d DSN) String() string {
	if d.Dialect == migrations.SQLite {
		return "sqlite://" + d.Path
	}
	parsed, err := url.Parse(d.URL)
	if err != nil {
		return "postgres://…"
	}
	if query := parsed.Query(); query.Has("password") {
		query.Set("password", "xxxxx")
		parsed.RawQuery = query.Encode()
	}
	return parsed.Redacted()
}
