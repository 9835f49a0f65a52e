package execute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// ScriptConfig is what the operator says about scripts.
type ScriptConfig struct {
	Allow      []string // commands: absolute paths, and bare names to be found in scriptPath
	MaxOutput  int      // bytes of standard output
	MaxLog     int      // bytes of standard error
	MaxRunning int      // scripts at once; more wait their turn
}

// Scripts runs commands on this machine, for exec_type local_script: those
// that the operator allows, and without a list none. It keeps the service's
// environment and working directory from them and ends a script's whole
// process group with it. It is no sandbox: a script has the rights of the
// scheduler's user.
type Scripts struct {
	allowed allowList
	most    limits
	places  chan struct{}
}

// NewScripts finds the allowed commands once, so that what a name means does
// not change while the service runs.
func NewScripts(cfg ScriptConfig) (*Scripts, error) {
	allowed, err := newAllowList(cfg.Allow)
	if err != nil {
		return nil, fmt.Errorf("find the commands that scripts may use: %w", err)
	}
	return &Scripts{
		allowed: allowed, most: limits{output: cfg.MaxOutput, log: cfg.MaxLog}, places: make(chan struct{}, cfg.MaxRunning),
	}, nil
}

// do runs the script of one attempt, and hands what it wrote to standard error
// to log. The attempt's time begins when it has a place: to wait for one is no
// work.
func (s *Scripts) do(ctx context.Context, x engine.Execution, log func(text string)) engine.RunResult {
	script := x.Exec.Script
	cmd, refused := s.allowed.command(script)
	if refused != nil {
		return engine.RunResult{Error: refused}
	}
	if script.StdinMode == flow.StdinJSON {
		cmd.stdin = payload(x)
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return engine.RunResult{}
	}
	if own := time.Duration(script.TimeoutMS) * time.Millisecond; own > 0 && (x.Timeout == 0 || own < x.Timeout) {
		x.Timeout = own
	}
	if x.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.Timeout)
		defer cancel()
	}
	end, err := cmd.run(ctx, s.most)
	result := s.result(ctx, x, end, err)
	if err == nil {
		log(string(end.log.bytes))
	}
	return result
}

// result is what the end of a script's process means, or err, for which it did
// not begin.
func (s *Scripts) result(ctx context.Context, x engine.Execution, end ended, err error) engine.RunResult {
	switch {
	case errors.Is(err, context.DeadlineExceeded): // before it had begun
		return timedOut(x).RunResult
	case err != nil:
		return failed(CodeScriptNotStartable, "the script cannot be started: %s", err).RunResult
	case end.tooLarge:
		return failed(CodeTooLarge, "the script's output is over %d bytes", s.most.output).RunResult
	case end.state.ExitCode() == 0:
		return output(x.Exec.Script.OutputMode, end.stdout)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return timedOut(x).RunResult
	default:
		return failed(CodeScriptFailed, "the script ended with %s%s", end.state, complaint(end.stderr)).RunResult
	}
}

// output makes the result of what a script wrote.
func output(mode flow.OutputMode, stdout []byte) engine.RunResult {
	if !utf8.Valid(stdout) {
		return failed(CodeBadAnswer, "the script's output is not UTF-8").RunResult
	}
	if mode == flow.OutputJSON {
		if !json.Valid(stdout) {
			return failed(CodeBadAnswer, "the script's output is not one JSON value").RunResult
		}
		return engine.RunResult{Result: rawjson.Trim(stdout)}
	}
	// Nearly every command ends its last line, and nobody means that by it.
	return engine.RunResult{Result: rawjson.Quote(string(bytes.TrimSuffix(stdout, []byte("\n"))))}
}

// complaint is the end of what a script wrote to standard error, as the tail
// of a message.
func complaint(stderr *tail) string {
	text := bytes.TrimSpace(bytes.ToValidUTF8(stderr.bytes, nil))
	switch {
	case len(text) == 0:
		return ""
	case stderr.cut:
		return ": …" + string(text)
	default:
		return ": " + string(text)
	}
}
