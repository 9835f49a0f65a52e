package execute

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

func TestAllowList_NamesACommandAsListedByPathAndByLastElement(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := filepath.Join(dir, "sh")
	require.NoError(t, os.Symlink("/bin/sh", own))

	list, err := newAllowList([]string{own, "/bin/sh", "env"})
	require.NoError(t, err)
	require.Equal(t, own, list["sh"], "the first one listed")
	require.Equal(t, own, list[own])
	require.Equal(t, "/bin/sh", list["/bin/sh"])
	require.Contains(t, list, "env")
	require.True(t, filepath.IsAbs(list["env"]))
	require.Contains(t, list, list["env"])
}

func TestAllowList_MustBeExecutables(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	_, err := NewScripts(ScriptConfig{Allow: []string{"/bin/sh", plain, "no-such-command", t.TempDir()}})
	require.ErrorContains(t, err, plain)
	require.ErrorContains(t, err, `"no-such-command" is not an executable in /usr/local/bin:/usr/bin:/bin`)
	require.NotContains(t, err.Error(), "/bin/sh\"")
}

func TestCommand_HandsCodeToTheInterpreterOfItsLanguage(t *testing.T) {
	t.Parallel()
	list := allowList{"sh": "/s", "bash": "/b", "python3": "/p", "node": "/n", "/opt/python": "/opt/python"}
	for name, c := range map[string]struct {
		script flow.Script
		want   []string
	}{
		"sh":         {flow.Script{Language: "sh"}, []string{"/s", "-c", "code", "sh", "arg"}},
		"bash":       {flow.Script{Language: "bash"}, []string{"/b", "-c", "code", "bash", "arg"}},
		"python3":    {flow.Script{Language: "python3"}, []string{"/p", "-c", "code", "arg"}},
		"python":     {flow.Script{Language: "python"}, []string{"/p", "-c", "code", "arg"}},
		"node":       {flow.Script{Language: "node"}, []string{"/n", "-e", "code", "--", "arg"}},
		"javascript": {flow.Script{Language: "javascript"}, []string{"/n", "-e", "code", "--", "arg"}},
		"a cmd":      {flow.Script{Cmd: "/opt/python"}, []string{"/opt/python", "-c", "code", "arg"}},
		"both":       {flow.Script{Cmd: "/opt/python", Language: "python3"}, []string{"/opt/python", "-c", "code", "arg"}},
	} {
		c.script.Code, c.script.Args = "code", []string{"arg"}
		cmd, refused := list.command(&c.script)
		require.Nil(t, refused, name)
		require.Equal(t, c.want, append([]string{cmd.file}, cmd.args...), name)
	}
}

func TestCommand_RunsCodeOfEveryLanguage(t *testing.T) {
	t.Parallel()
	for language, code := range map[string]string{
		"bash":    `[[ -n $1 ]] && echo "$# $1"`,
		"python3": `import sys; print(len(sys.argv) - 1, sys.argv[1])`,
		"node":    `console.log(process.argv.length - 1, process.argv[1])`,
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			file, err := exec.LookPath(language)
			if err != nil {
				t.Skip("not installed")
			}
			// A wrapper that looks for its interpreter elsewhere finds none here.
			if file, err = filepath.EvalSymlinks(file); err != nil || exec.Command(file, "--version").Run() != nil { //nolint:noctx // it ends at once
				t.Skip("not in order")
			}
			x := scriptExecution(flow.Script{Code: code, Language: language, Args: []string{"--version"}})
			result := do(t, scripting(t, file), x)
			require.Nil(t, result.Error)
			require.Equal(t, `"1 --version"`, string(result.Result))
		})
	}
}

func TestCommand_RefusesVariablesThatChangeWhatIsExecuted(t *testing.T) {
	t.Parallel()
	list := allowList{"sh": "/bin/sh"}
	for _, name := range []string{
		"PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES",
		"BASH_ENV", "ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PS4", "BASH_FUNC_ls%%", "", "A=B", "1A", "A B",
	} {
		_, refused := list.command(&flow.Script{Cmd: "sh", Env: map[string]string{name: "x"}})
		require.NotNil(t, refused, name)
		require.Equal(t, CodeScriptNotAllowed, refused.Code, name)
		require.True(t, refused.Final, name)
	}
	for _, name := range []string{"HOME", "_", "PYTHONPATH", "a1"} {
		_, refused := list.command(&flow.Script{Cmd: "sh", Env: map[string]string{name: "x"}})
		require.Nil(t, refused, name)
	}
}
