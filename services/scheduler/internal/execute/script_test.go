package execute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// In bytes.
const (
	testOutput = 1000
	testLog    = 6000
)

// scripting runs scripts of the allowed commands, one at a time.
func scripting(t *testing.T, allow ...string) *Executor {
	t.Helper()
	e, _ := loggingScripts(t, allow...)
	return e
}

// loggingScripts does the same, and keeps their logs.
func loggingScripts(t *testing.T, allow ...string) (*Executor, *logs) {
	t.Helper()
	scripts, err := NewScripts(ScriptConfig{Allow: allow, MaxOutput: testOutput, MaxLog: testLog, MaxRunning: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, scripts.places, "every place is given back") })
	kept := &logs{}
	return New(Deps{Scripts: scripts, Logs: kept, Log: zap.NewNop()}), kept
}

// logs is where the texts of one run at a time are kept, or not, if err is set.
type logs struct {
	run   storage.RunRef
	texts []string
	err   error
}

func (l *logs) Append(ctx context.Context, run storage.RunRef, text string) error {
	if l.err == nil {
		l.run, l.texts = run, append(l.texts, text)
	}
	return errors.Join(l.err, ctx.Err())
}

func scriptExecution(script flow.Script) engine.Execution {
	x := execution()
	x.Exec = &flow.Exec{Type: flow.ExecLocalScript, Script: &script}
	return x
}

// shell is code for sh.
func shell(code string) flow.Script { return flow.Script{Code: code, Language: "sh"} }

func TestScript_Succeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	payload := `{"input":{"n":12345678901234567890.10},"params":{"p":1}}`
	for name, c := range map[string]struct {
		script flow.Script
		want   string
	}{
		"text is a string":           {shell(`echo hello`), `"hello"`},
		"one newline is trimmed":     {shell(`printf 'a\n\n'`), `"a\n"`},
		"text keeps its signs":       {shell(`printf '<"é\\&>'`), `"<\"é\\&>"`},
		"no output is an empty text": {shell(`:`), `""`},
		"a number is text":           {shell(`echo 7`), `"7"`},
		"json is the value":          {flow.Script{Code: `printf ' {"n": 1.50,  "s":"\\u003c<"}\n'`, Language: "sh", OutputMode: flow.OutputJSON}, `{"n": 1.50,  "s":"\u003c<"}`},
		"stdin is empty by default":  {shell(`cat`), `""`},
		"stdin none is empty":        {flow.Script{Code: `cat`, Language: "sh", StdinMode: flow.StdinNone}, `""`},
		"stdin json, byte for byte":  {flow.Script{Code: `cat`, Language: "sh", StdinMode: flow.StdinJSON, OutputMode: flow.OutputJSON}, payload},
		"stdin may stay unread":      {flow.Script{Code: `echo ok`, Language: "sh", StdinMode: flow.StdinJSON}, `"ok"`},
		"a command with arguments":   {flow.Script{Cmd: "/bin/sh", Args: []string{"-c", `echo "$0 $1"`, "a b", "$shared.x"}}, `"a b $shared.x"`},
		"code with arguments":        {flow.Script{Code: `echo "$0 $# $1 $2"`, Language: "sh", Args: []string{"-x", "$params.p"}}, `"sh 2 -x $params.p"`},
		"code for a command":         {flow.Script{Cmd: "/bin/sh", Code: `echo "$1"`, Args: []string{"a"}}, `"a"`},
		"runs in work_dir":           {flow.Script{Code: `pwd -P`, Language: "sh", WorkDir: dir}, `"` + dir + `"`},
		"runs in / without":          {shell(`pwd`), `"/"`},
		"leads a group of its own":   {shell(`read -r _ _ _ _ group _ < /proc/$$/stat; [ "$group" = "$$" ] && echo yes`), `"yes"`},
		"output up to the limit":     {shell(`printf '%1000s' x`), `"` + strings.Repeat(" ", testOutput-1) + `x"`},
		"stderr is no result":        {shell(`echo noise >&2; echo result`), `"result"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(c.script.Code, "/proc/") && !exists("/proc/self/stat") {
				t.Skip("this system has no /proc")
			}
			result := do(t, scripting(t, "/bin/sh"), scriptExecution(c.script))
			require.Nil(t, result.Error)
			require.Equal(t, c.want, string(result.Result))
		})
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestScript_Fails(t *testing.T) {
	t.Parallel()
	long := `i=0; while [ $i -lt 500 ]; do echo "line $i of many" >&2; i=$((i+1)); done; exit 1`
	for name, c := range map[string]struct {
		script  flow.Script
		code    string
		message string
		final   bool
	}{
		"an exit code":                {script: shell(`echo out; echo ' oh no ' >&2; exit 3`), code: CodeScriptFailed, message: `the script ended with exit status 3: oh no`},
		"silently":                    {script: shell(`exit 4`), code: CodeScriptFailed, message: `the script ended with exit status 4`},
		"a signal":                    {script: shell(`kill -TERM $$`), code: CodeScriptFailed, message: `the script ended with signal: terminated`},
		"with bytes that are no text": {script: shell(`printf 'a\377b' >&2; exit 1`), code: CodeScriptFailed, message: `the script ended with exit status 1: ab`},
		"with much to say":            {script: shell(long), code: CodeScriptFailed, message: "line 499 of many"},
		"output that is no text":      {script: shell(`printf '\377'`), code: CodeBadAnswer, message: "UTF-8"},
		"output that is no JSON":      {script: flow.Script{Code: `echo '{} {}'`, Language: "sh", OutputMode: flow.OutputJSON}, code: CodeBadAnswer, message: "JSON"},
		"no output for JSON":          {script: flow.Script{Code: `:`, Language: "sh", OutputMode: flow.OutputJSON}, code: CodeBadAnswer, message: "JSON"},
		"one byte too much":           {script: shell(`printf '%1001s' x`), code: CodeTooLarge, message: "1000 bytes"},
		"output without end":          {script: shell(`while :; do echo x; done`), code: CodeTooLarge, message: "1000 bytes"},
		"a work_dir not there":        {script: flow.Script{Cmd: "sh", WorkDir: "/nowhere/at/all"}, code: CodeScriptNotStartable, message: "work_dir"},
		"a work_dir that is none":     {script: flow.Script{Cmd: "sh", WorkDir: "/bin/sh"}, code: CodeScriptNotStartable, message: "work_dir"},
		"a relative work_dir":         {script: flow.Script{Cmd: "sh", WorkDir: "data"}, code: CodeScriptNotStartable, message: "absolute", final: true},
		"a NUL in an argument":        {script: flow.Script{Cmd: "sh", Args: []string{"a\x00b"}}, code: CodeScriptNotStartable, message: "invalid argument"},
		"a NUL in a variable":         {script: flow.Script{Cmd: "sh", Env: map[string]string{"A": "a\x00b"}}, code: CodeScriptNotStartable, message: "NUL"},
		"too long code":               {script: shell(strings.Repeat("#", 4<<20)), code: CodeScriptNotStartable, message: "too long"},
		"an unknown language":         {script: flow.Script{Code: `x`, Language: "cobol"}, code: CodeScriptNotStartable, message: `"cobol"`, final: true},
		"another command":             {script: flow.Script{Cmd: "/bin/ls"}, code: CodeScriptNotAllowed, message: `"/bin/ls"`, final: true},
		"the command by a detour":     {script: flow.Script{Cmd: "/bin/../bin/sh"}, code: CodeScriptNotAllowed, message: "/bin/../bin/sh", final: true},
		"another interpreter":         {script: flow.Script{Code: `x`, Language: "bash"}, code: CodeScriptNotAllowed, message: `"bash"`, final: true},
		"another by its path":         {script: flow.Script{Cmd: "/bin/bash", Code: `x`, Language: "sh"}, code: CodeScriptNotAllowed, message: `"/bin/bash"`, final: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := do(t, scripting(t, "/bin/sh"), scriptExecution(c.script))
			require.NotNil(t, result.Error)
			require.Equal(t, c.code, result.Error.Code, result.Error.Message)
			require.Contains(t, result.Error.Message, c.message)
			require.Equal(t, c.final, result.Error.Final)
			require.Less(t, len(result.Error.Message), engine.MaxMessage+100)
			require.Nil(t, result.Result)
			if c.code == CodeScriptFailed && c.script.Code != long {
				require.Equal(t, c.message, result.Error.Message)
			}
		})
	}
}

func TestScript_IsOffWithoutAList(t *testing.T) {
	t.Parallel()
	result := do(t, scripting(t), scriptExecution(flow.Script{Cmd: "/bin/sh"}))
	require.Equal(t, CodeScriptNotAllowed, result.Error.Code)
	require.True(t, result.Error.Final)
	require.Contains(t, result.Error.Message, "runs no scripts")
}

func TestScript_SeesOnlyItsOwnEnvironment(t *testing.T) {
	t.Parallel()
	script := flow.Script{Cmd: "env", Env: map[string]string{"B": "$shared.x", "A": "a = b"}}
	result := do(t, scripting(t, "env"), scriptExecution(script))
	require.Nil(t, result.Error)
	require.Equal(t, `"PATH=/usr/local/bin:/usr/bin:/bin\nA=a = b\nB=$shared.x"`, string(result.Result))
}

func TestScript_TimesOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script  int64
		attempt time.Duration
		want    string
	}{
		"by its own time":       {script: 30, attempt: time.Hour, want: "30ms"},
		"by the attempt's":      {script: 3_600_000, attempt: 30 * time.Millisecond, want: "30ms"},
		"by the attempt's only": {attempt: 30 * time.Millisecond, want: "30ms"},
		"by its own only":       {script: 30, want: "30ms"},
		"before it can start":   {script: 30, attempt: time.Nanosecond, want: "1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := scriptExecution(flow.Script{Code: `sleep 300`, Language: "sh", TimeoutMS: c.script})
			x.Timeout = c.attempt
			result := do(t, scripting(t, "sh"), x)
			require.Equal(t, engine.CodeTimeout, result.Error.Code)
			require.Contains(t, result.Error.Message, c.want)
			require.False(t, result.Error.Final)
		})
	}
}

// parent starts a child that would outlive it and tells the child's id in a
// file of the working directory, which is whole once it is there.
const parent = `sleep 300 & echo $! > new; mv new child; `

func TestScript_LeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code string
		want string // the error's code
	}{
		"when it ends":            {code: `exit 0`},
		"when it fails":           {code: `exit 1`, want: CodeScriptFailed},
		"when its time is up":     {code: `wait`, want: engine.CodeTimeout},
		"when it writes too much": {code: `while :; do echo x; done`, want: CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := flow.Script{Code: parent + c.code, Language: "sh", WorkDir: t.TempDir(), TimeoutMS: 10_000}
			if c.want == engine.CodeTimeout {
				script.TimeoutMS = 3000 // enough for the child to be there
			}
			result := do(t, scripting(t, "sh"), scriptExecution(script))
			if c.want == "" {
				require.Nil(t, result.Error)
			} else {
				require.Equal(t, c.want, result.Error.Code)
			}
			requireDead(t, childIn(t, script.WorkDir))
		})
	}
}

func TestScript_IsKilledAsSoonAsItWritesTooMuch(t *testing.T) {
	t.Parallel()
	script := flow.Script{Code: `printf '%1001s' x; sleep 3; echo > late`, Language: "sh", WorkDir: t.TempDir()}
	require.Equal(t, CodeTooLarge, do(t, scripting(t, "sh"), scriptExecution(script)).Error.Code)
	require.NoFileExists(t, filepath.Join(script.WorkDir, "late"))
}

func TestScript_IsKilledWhenTheAttemptIsAborted(t *testing.T) {
	t.Parallel()
	e := scripting(t, "sh")
	script := flow.Script{Code: parent + `wait`, Language: "sh", WorkDir: t.TempDir()}
	ctx, abort := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.Do(ctx, "task-1", scriptExecution(script))
		ended <- err
	}()
	child := childIn(t, script.WorkDir)
	abort()
	require.ErrorIs(t, <-ended, context.Canceled)
	requireDead(t, child)
}

func TestScript_StandardErrorIsTheRunsLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script flow.Script
		want   []string
		code   string
	}{
		"when it succeeds":                       {script: shell(`echo noise >&2; echo result`), want: []string{"noise\n"}},
		"when it fails":                          {script: shell(`printf 'oh\nno' >&2; exit 1`), want: []string{"oh\nno"}, code: CodeScriptFailed},
		"when its time is up":                    {script: shell(`echo tick >&2; sleep 300`), want: []string{"tick\n"}, code: engine.CodeTimeout},
		"when its output is none":                {script: shell(`echo why >&2; printf '\377'`), want: []string{"why\n"}, code: CodeBadAnswer},
		"when its output is large":               {script: shell(`echo why >&2; printf '%1001s' x; sleep 300`), want: []string{"why\n"}, code: CodeTooLarge},
		"when there is none":                     {script: shell(`echo result`), want: []string{""}},
		"in bytes that are no text":              {script: shell(`printf 'a\377' >&2`), want: []string{"a\xff"}},
		"and nothing of a script that never ran": {script: flow.Script{Cmd: "/bin/ls"}, code: CodeScriptNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, kept := loggingScripts(t, "sh")
			x := scriptExecution(c.script)
			x.RunNo = 7
			if c.code == engine.CodeTimeout {
				x.Timeout = time.Second
			}
			result := do(t, e, x)
			if c.code == "" {
				require.Nil(t, result.Error)
			} else {
				require.Equal(t, c.code, result.Error.Code)
			}
			require.Equal(t, c.want, kept.texts)
			if c.want != nil {
				require.Equal(t, storage.RunRef{TaskID: "task-1", No: 7, ID: "run-1"}, kept.run)
			}
		})
	}
}

func TestScript_LogKeepsTheBeginningAndTheMessageTheEnd(t *testing.T) {
	t.Parallel()
	e, kept := loggingScripts(t, "sh")
	result := do(t, e, scriptExecution(shell(`i=0; while [ $i -lt 500 ]; do echo "line $i of many" >&2; i=$((i+1)); done; exit 1`)))
	require.Len(t, kept.texts[0], testLog+1, "a byte more, so that the log is seen to be cut")
	require.True(t, strings.HasPrefix(kept.texts[0], "line 0 of many\nline 1 "))
	require.True(t, strings.HasSuffix(result.Error.Message, "line 499 of many"))
	require.Greater(t, len(result.Error.Message), engine.MaxMessage)
}

func TestScript_LosesNoResultForItsLog(t *testing.T) {
	t.Parallel()
	e, kept := loggingScripts(t, "sh")
	kept.err = errors.New("the database is away")
	result := do(t, e, scriptExecution(shell(`echo noise >&2; echo result`)))
	require.Nil(t, result.Error)
	require.Equal(t, `"result"`, string(result.Result))
}

func TestScript_KeepsTheLogOfWhatIsAborted(t *testing.T) {
	t.Parallel()
	e, kept := loggingScripts(t, "sh")
	script := flow.Script{Code: `echo before >&2; ` + parent + `wait`, Language: "sh", WorkDir: t.TempDir()}
	ctx, abort := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.Do(ctx, "task-1", scriptExecution(script))
		ended <- err
	}()
	childIn(t, script.WorkDir)
	abort()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, []string{"before\n"}, kept.texts)
}

// childIn waits until the child of a script in dir is there.
func childIn(t *testing.T, dir string) int {
	t.Helper()
	var text []byte
	require.Eventually(t, func() (there bool) {
		var err error
		text, err = os.ReadFile(filepath.Join(dir, "child"))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

// requireDead polls, because a kill is not waited for by those who are not the
// parent. A zombie is dead, and may stay one for as long as init likes.
func requireDead(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		zombie := err == nil && strings.Contains(string(stat), ") Z ")
		return zombie || syscall.Kill(pid, 0) != nil
	}, 10*time.Second, time.Millisecond, "process %d lives on", pid)
}

// A descendant in a session of its own is out of reach, but nobody waits for it.
func TestScript_EndsThoughADescendantHoldsItsOutput(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("this system has no setsid")
	}
	// The shell ends only when its child has left the group.
	script := flow.Script{
		Code:     `setsid sh -c 'echo $$ > new; mv new child; exec sleep 300' & while ! [ -e child ]; do :; done; echo done`,
		Language: "sh", WorkDir: t.TempDir(),
	}
	result := do(t, scripting(t, "sh"), scriptExecution(script))
	child := childIn(t, script.WorkDir)
	require.NoError(t, syscall.Kill(child, syscall.SIGKILL), "it was alive")
	require.Nil(t, result.Error)
	require.Equal(t, `"done"`, string(result.Result))
}

func TestScript_ReadsAsMuchInputAsItLikes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{`wc -c | tr -d ' '`: "1048602", `echo 0`: "0"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			x := scriptExecution(flow.Script{Code: code, Language: "sh", StdinMode: flow.StdinJSON, OutputMode: flow.OutputJSON})
			x.Input, x.Params = json.RawMessage(`"`+strings.Repeat("x", 1<<20)+`"`), nil
			result := do(t, scripting(t, "sh"), x)
			require.Nil(t, result.Error)
			require.Equal(t, want, string(result.Result))
		})
	}
}

func TestScript_WaitsForItsTurnUntilItIsAborted(t *testing.T) {
	t.Parallel()
	e := scripting(t, "sh")
	e.scripts.places <- struct{}{} // another one is running
	ctx, abort := context.WithCancel(t.Context())
	abort()
	script := flow.Script{Code: `echo > started`, Language: "sh", WorkDir: t.TempDir()}
	_, err := e.Do(ctx, "task-1", scriptExecution(script))
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, filepath.Join(script.WorkDir, "started"))
	<-e.scripts.places
}

func TestTail_KeepsTheEnd(t *testing.T) {
	t.Parallel()
	var kept tail
	for _, part := range []string{"first ", strings.Repeat("x", engine.MaxMessage), " last"} {
		n, err := kept.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.Len(t, kept.bytes, engine.MaxMessage)
	require.True(t, kept.cut)
	require.True(t, strings.HasPrefix(complaint(&kept), ": …xxx"))
	require.True(t, strings.HasSuffix(complaint(&kept), "x last"))
}
