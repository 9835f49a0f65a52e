package cli

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

// configCmd takes the flags of serve, so that a command line can be tried out
// by replacing one word.
type configCmd struct {
	suite.Config
	app.Process
}

// setting is one setting as serve would have it.
type setting struct {
	Name   string `json:"name"`
	Env    string `json:"env,omitempty"`
	Value  string `json:"value"`
	Source string `json:"source"` // flag, environment, default, data directory
}

func (c configCmd) Run(s *session) error {
	given := map[string]bool{}
	for _, part := range s.parsed.Path {
		if part.Flag != nil {
			given[part.Flag.Name] = true
		}
	}
	located := c.Config
	local := map[string]bool{}
	for _, service := range located.Locate() {
		local[service+"-db"] = true
	}
	all := []setting{}
	for _, flag := range s.parsed.Flags() {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		one := setting{
			Name: flag.Name, Env: strings.Join(flag.Envs, ","),
			Value: shown(flag.Name, flag.Target), Source: sourceOf(flag, given[flag.Name]),
		}
		if service, ok := strings.CutSuffix(flag.Name, "-db"); ok && local[flag.Name] {
			one.Value, one.Source = suite.InDirectory(c.Data, service), "data directory"
		}
		all = append(all, one)
	}
	return s.print(all, func(w io.Writer) error {
		table := term.NewRows("SETTING", "VALUE", "SOURCE", "ENVIRONMENT")
		for _, one := range all {
			table.Add(one.Name, one.Value, one.Source, one.Env)
		}
		_, err := table.WriteTo(w)
		return err
	})
}

//nolint:revive // onLine is what the caller looked up, not a switch between two behaviours
func sourceOf(flag *kong.Flag, onLine bool) string {
	if onLine {
		return "flag"
	}
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok { //nolint:forbidigo // tells where kong took the value from, reads none
			return "environment"
		}
	}
	return "default"
}

// shown is a setting's value without what nobody may see.
func shown(name string, value reflect.Value) string {
	if isSecret(name) {
		return hidden
	}
	text := fmt.Sprint(value.Interface())
	if list, ok := value.Interface().([]string); ok {
		text = strings.Join(list, ",")
	}
	if strings.Contains(text, "@") || strings.Contains(text, "?") {
		return withoutPassword(text)
	}
	return text
}

// isSecret tells by its name that a setting, or a parameter of a URL, is one
// that nobody may see.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "passwd", "secret", "token"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
