package execute

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// scriptPath is where bare names are looked for, and the PATH of every script.
const scriptPath = "/usr/local/bin:/usr/bin:/bin"

// scriptDir is where a script runs whose work_dir is empty. The service's own
// directory may hold its databases, and one for all to write in may hold a
// module that an interpreter would load.
const scriptDir = "/"

// allowList gives the file of each command that scripts may use, by every name
// that they may use for it: as listed, the path, and the path's last element.
type allowList map[string]string

func newAllowList(entries []string) (allowList, error) {
	list := allowList{}
	var missing []error
	for _, entry := range entries {
		file, err := findCommand(entry)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		for _, name := range []string{entry, file, filepath.Base(file)} {
			if _, taken := list[name]; !taken {
				list[name] = file
			}
		}
	}
	return list, errors.Join(missing...)
}

// findCommand looks a bare name up in scriptPath; the service's own PATH, whose
// places others may be able to write to, has no say.
func findCommand(entry string) (string, error) {
	if filepath.IsAbs(entry) {
		return exec.LookPath(entry)
	}
	for _, dir := range filepath.SplitList(scriptPath) {
		if file, err := exec.LookPath(filepath.Join(dir, entry)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%q is not an executable in %s", entry, scriptPath)
}

// interpreter is how a language's code is handed over. It goes in as an
// argument: nothing is written to a disk, from which a crash would not remove
// it, and standard input stays the script's own.
type interpreter struct {
	command string
	options []string // before the code
	then    []string // between the code and the script's arguments
}

// interpreterOf knows the languages of a script's code. A shell takes the first
// argument after the code for its own name.
func interpreterOf(language string) (i interpreter, known bool) {
	switch language {
	case "sh", "bash":
		return interpreter{command: language, options: []string{"-c"}, then: []string{language}}, true
	case "python3", "python":
		return interpreter{command: "python3", options: []string{"-c"}}, true
	case "node", "javascript":
		return interpreter{command: "node", options: []string{"-e"}, then: []string{"--"}}, true
	}
	return interpreter{}, false
}

// command is a process to be.
type command struct {
	file  string
	args  []string
	env   []string
	dir   string
	stdin []byte
}

// command makes the process that a script describes, or says why that is not
// to be. What may change, such as a directory, is looked at when it starts.
func (l allowList) command(script *flow.Script) (command, *engine.RunError) {
	if len(l) == 0 {
		return command{}, notAllowed("this scheduler runs no scripts: its operator allows no command")
	}
	name, args := script.Cmd, script.Args
	if script.Code != "" {
		language := script.Language
		if language == "" {
			language = filepath.Base(script.Cmd)
		}
		by, known := interpreterOf(language)
		if !known {
			return command{}, unfit("the language %q of the code is not known; give a cmd and args", language)
		}
		if name == "" {
			name = by.command
		}
		args = slices.Concat(by.options, []string{script.Code}, by.then, script.Args)
	}
	file, ok := l[name]
	if !ok {
		return command{}, notAllowed("the command %q is not among those that the operator allows", name)
	}
	env := []string{"PATH=" + scriptPath}
	for _, name := range slices.Sorted(maps.Keys(script.Env)) {
		if !allowedVariable(name) {
			return command{}, notAllowed("the environment variable %q cannot be set for a script", name)
		}
		env = append(env, name+"="+script.Env[name])
	}
	dir := script.WorkDir
	if dir == "" {
		dir = scriptDir
	}
	if !filepath.IsAbs(dir) {
		return command{}, unfit("the work_dir %q is not an absolute path", dir)
	}
	return command{file: file, args: args, env: env, dir: dir}, nil
}

func notAllowed(format string, args ...any) *engine.RunError {
	return failed(CodeScriptNotAllowed, format, args...).final().Error
}

func unfit(format string, args ...any) *engine.RunError {
	return failed(CodeScriptNotStartable, format, args...).final().Error
}

// variableName leaves out the names under which bash would take a function.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// allowedVariable refuses the variables by which any dynamically linked
// program, or any program that is a shell script, would come to execute
// something other than what the operator allowed.
func allowedVariable(name string) bool {
	switch name {
	case "PATH", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "PS4", "IFS", "GLIBC_TUNABLES":
		return false
	}
	return variableName.MatchString(name) && !strings.HasPrefix(name, "LD_") && !strings.HasPrefix(name, "DYLD_")
}
