package flow

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

func (c *compiler) exec(spec *ExecSpec, path string) Exec {
	c.name(spec.Service, expr.JoinPath(path, "service"))
	c.name(spec.Func, expr.JoinPath(path, "func"))
	out := Exec{
		Type:    enum(c, spec.ExecType, choices[ExecType]{ExecTypes, CodeUnknownExecType, "exec_type"}, path),
		Service: spec.Service,
		Func:    spec.Func,
		Script:  c.script(spec.Script, expr.JoinPath(path, "script")),
		Params:  c.params(spec.Params, expr.JoinPath(path, "params")),
		Prep:    c.prep(spec.Prep, expr.JoinPath(path, "prep")),
		Post:    c.post(spec.Post, expr.JoinPath(path, "post")),
		Retry:   c.retry(spec, path),
		Timeout: newDurationSetting(c.setting(setting{name: "timeout_ms", own: spec.TimeoutMS}, path, c.literalMillis)),
	}
	if spec.WeightedByLoad != nil {
		out.Routing.WeightedByLoad = *spec.WeightedByLoad
	}
	if spec.MaxAttempts != nil {
		out.Routing.MaxAttempts = c.count(*spec.MaxAttempts, expr.JoinPath(path, "max_attempts"))
	}
	if spec.AttemptDelayMS != nil {
		out.Routing.Delay = c.millis(*spec.AttemptDelayMS, expr.JoinPath(path, "attempt_delay_ms"))
	}
	return out
}

func (c *compiler) override(spec ExecSpec, path string) override {
	return override{spec: spec, exec: c.exec(&spec, path)}
}

// hasTarget reports whether the exec says what to execute.
func (e *Exec) hasTarget() bool {
	switch e.Type {
	case ExecHTTP, ExecQueue:
		return e.Service != ""
	case ExecLocalFunc:
		return e.Func != ""
	case ExecLocalScript:
		return e.Script != nil
	}
	return true // an unknown type is a fault of its own
}

func (c *compiler) target(e Exec, path string) {
	if e.hasTarget() {
		return
	}
	field := "service"
	switch e.Type {
	case ExecLocalFunc:
		field = "func"
	case ExecLocalScript:
		field = "script"
	case ExecHTTP, ExecQueue:
	}
	c.faults.add(expr.JoinPath(path, field), CodeMissingTarget, "exec_type %q needs a %s", e.Type, field)
}

func (c *compiler) script(s *Script, path string) *Script {
	if s == nil {
		return nil
	}
	if s.Cmd == "" && s.Code == "" {
		c.faults.add(path, CodeMissing, "a script needs cmd or code")
	}
	if s.Code != "" && s.Cmd == "" && s.Language == "" {
		c.faults.add(expr.JoinPath(path, "language"), CodeMissing, "code needs a language, or a cmd to run it")
	}
	c.millis(s.TimeoutMS, expr.JoinPath(path, "timeout_ms"))
	out := *s
	out.Args = slices.Clone(s.Args)
	out.Env = maps.Clone(s.Env)
	out.StdinMode = enum(c, s.StdinMode, choices[StdinMode]{StdinModes, CodeUnknownValue, "stdin_mode"}, path)
	out.OutputMode = enum(c, s.OutputMode, choices[OutputMode]{OutputModes, CodeUnknownValue, "output_mode"}, path)
	return &out
}

func (c *compiler) params(raw json.RawMessage, path string) []expr.Value {
	if raw == nil {
		return nil
	}
	if t := rawjson.TypeOf(raw); t != rawjson.Object {
		c.faults.add(path, CodeWrongType, "must be an object, not %s", article(t))
		return nil
	}
	return []expr.Value{c.value(raw, path)}
}

func (c *compiler) prep(p *Prep, path string) PrepPlan {
	var out PrepPlan
	if p == nil {
		return out
	}
	if p.InputKey != "" {
		out.key = c.inputKey(p.InputKey, expr.JoinPath(path, "input_key"))
	}
	for _, name := range slices.Sorted(maps.Keys(p.InputMap)) {
		at := expr.JoinPath(expr.JoinPath(path, "input_map"), name)
		out.fields = append(out.fields, inputField{name: name, value: c.value(p.InputMap[name], at)})
	}
	return out
}

func (c *compiler) inputKey(text, path string) expr.Value {
	var ref expr.Ref
	var err error
	if strings.HasPrefix(text, "$") {
		ref, err = expr.ParseRef(text)
	} else {
		ref.Root = expr.RootShared
		ref.Path, err = rawjson.ParsePath(text)
	}
	if err != nil {
		c.faults.add(path, CodeBadReference, "%s", err)
	}
	return expr.RefValue(ref)
}

func (c *compiler) post(p *Post, path string) PostPlan {
	var out PostPlan
	if p == nil {
		return out
	}
	for _, to := range slices.Sorted(maps.Keys(p.OutputMap)) {
		at := expr.JoinPath(expr.JoinPath(path, "output_map"), to)
		if to == "" {
			c.faults.add(at, CodeBadKey, "the key to write is empty")
		}
		c.name(to, at)
		out.outputs = append(out.outputs, outputField{to: to, from: c.selector(p.OutputMap[to], at)})
	}
	c.name(p.OutputKey, expr.JoinPath(path, "output_key"))
	c.name(p.ActionStatic, expr.JoinPath(path, "action_static"))
	out.outputKey = p.OutputKey
	out.ActionStatic = p.ActionStatic
	if p.ActionKey != "" {
		out.ActionKey = c.selector(p.ActionKey, expr.JoinPath(path, "action_key"))
	}
	return out
}

func (c *compiler) retry(spec *ExecSpec, path string) Retry {
	out := Retry{Factor: 1}
	if spec.MaxRetries != nil {
		out.Max = c.count(*spec.MaxRetries, expr.JoinPath(path, "max_retries"))
	}
	if spec.WaitMS != nil {
		out.Wait = c.millis(*spec.WaitMS, expr.JoinPath(path, "wait_ms"))
	}
	if spec.Backoff == nil {
		return out
	}
	path = expr.JoinPath(path, "backoff")
	out.MaxWait = c.millis(spec.Backoff.MaxMS, expr.JoinPath(path, "max_ms"))
	out.Jitter = spec.Backoff.Jitter
	if spec.Backoff.Factor != 0 {
		out.Factor = spec.Backoff.Factor
	}
	if out.Factor < 0 {
		c.faults.add(expr.JoinPath(path, "factor"), CodeNegative, "%v is negative", out.Factor)
	}
	if out.Jitter < 0 {
		c.faults.add(expr.JoinPath(path, "jitter"), CodeNegative, "%v is negative", out.Jitter)
	} else if !(out.Jitter <= 1) {
		c.faults.add(expr.JoinPath(path, "jitter"), CodeOutOfRange, "%v is not between 0 and 1", out.Jitter)
	}
	return out
}

func (c *compiler) literalMillis(raw json.RawMessage, path string) {
	_, err := durationOf(raw)
	if err == nil {
		return
	}
	code := CodeWrongType
	if n, parseErr := rawjson.Int(raw); parseErr == nil && n < 0 {
		code = CodeNegative
	} else if parseErr == nil || errors.Is(parseErr, strconv.ErrRange) {
		code = CodeOutOfRange
	}
	c.faults.add(path, code, "%s", err)
}
