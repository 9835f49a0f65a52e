package simulate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// answers are a script's answers, ready to be asked for.
type answers struct {
	exact map[string]*pattern // without a "*", by path
	wild  []*pattern          // the most specific first
}

// pattern is one entry of the script's answers.
type pattern struct {
	text     string
	segments []string
	stars    int
	list     []prepared
	used     map[string]int // answers given, by path
}

// prepared is an answer with its references compiled.
type prepared struct {
	Answer
	result expr.Value
}

// checkAnswers finds the faults that prepare would meet.
func (s *Script) checkAnswers() faults {
	var f faults
	for _, text := range sortedKeys(s.Answers) {
		_, more := prepare(text, s.Answers[text])
		f = append(f, more...)
	}
	return f
}

func newAnswers(s *Script) *answers {
	a := &answers{exact: map[string]*pattern{}}
	for _, text := range sortedKeys(s.Answers) {
		p, _ := prepare(text, s.Answers[text])
		if p.stars == 0 {
			a.exact[text] = p
		} else {
			a.wild = append(a.wild, p)
		}
	}
	slices.SortStableFunc(a.wild, func(x, y *pattern) int {
		return cmp.Or(cmp.Compare(x.stars, y.stars), -cmp.Compare(x.literals(), y.literals()))
	})
	return a
}

func prepare(text string, list []Answer) (*pattern, faults) {
	var f faults
	path := expr.JoinPath("answers", text)
	p := &pattern{text: text, segments: strings.Split(text, "/"), used: map[string]int{}}
	for _, segment := range p.segments {
		switch segment {
		case "":
			f.add(path, flow.CodeBadKey, "a part of the path is empty")
		case star:
			p.stars++
		}
	}
	if len(list) == 0 {
		f.add(path, flow.CodeMissing, "has no answer")
	}
	for i, answer := range list {
		at := path
		if len(list) > 1 {
			at = indexed(path, i)
		}
		value := f.answer(answer, at)
		p.list = append(p.list, prepared{Answer: answer, result: value})
	}
	return p, f
}

func (f *faults) answer(a Answer, path string) expr.Value {
	f.duration(a.After, expr.JoinPath(path, "after_ms"))
	if a.Times < 0 {
		f.add(expr.JoinPath(path, "times"), flow.CodeNegative, "must not be negative")
	}
	switch {
	case a.Error != nil && a.Result != nil:
		f.add(path, flow.CodeConflict, "an execution has a result or an error, not both")
	case a.Error == nil && a.Final:
		f.add(path, flow.CodeConflict, "retryable is about an error, and there is none")
	}
	at := expr.JoinPath(path, "result")
	if len(a.Result) > 0 && !json.Valid(a.Result) {
		f.add(at, flow.CodeMalformed, "is not JSON")
		return expr.Value{}
	}
	value, bad := expr.CompileValue(a.Result)
	for _, fault := range bad {
		fault.Path = expr.Rebase(at, fault.Path)
		*f = append(*f, fault)
	}
	if value.Uses(expr.RootShared) {
		f.add(at, flow.CodeBadReference, "a worker sees $input and $params, not $shared; the text itself is written $$shared")
	}
	return value
}

const star = "*"

// literals is how many segments come before the first star.
func (p *pattern) literals() int { return slices.Index(p.segments, star) }

func (p *pattern) fits(segments []string) bool {
	if len(p.segments) != len(segments) {
		return false
	}
	for i, segment := range p.segments {
		if segment != star && segment != segments[i] {
			return false
		}
	}
	return true
}

// take gives the path's next answer; false when all of its list are given.
func (p *pattern) take(path string) (*prepared, bool) {
	given := p.used[path]
	until := 0
	for i := range p.list {
		answer := &p.list[i]
		until += max(answer.Times, 1)
		if given < until || answer.Times == 0 && i == len(p.list)-1 {
			p.used[path]++
			return answer, true
		}
	}
	return nil, false
}

// to is the answer to an execution; false when the script has none, or has
// none left.
func (a *answers) to(call Call) (Answer, bool) {
	answer, ok := a.next(call.Path)
	if !ok {
		return Answer{}, false
	}
	given := answer.Answer
	given.Result = answer.result.Resolve(expr.Scope{Params: call.Params, Input: call.Input})
	return given, true
}

func (a *answers) next(path string) (*prepared, bool) {
	if p := a.exact[path]; p != nil {
		if answer, ok := p.take(path); ok {
			return answer, true
		}
	}
	segments := strings.Split(path, "/")
	for _, p := range a.wild {
		if p.fits(segments) {
			if answer, ok := p.take(path); ok {
				return answer, true
			}
		}
	}
	return nil, false
}

// unused are the patterns that no execution asked for.
func (a *answers) unused() []string {
	var texts []string
	for _, p := range a.exact {
		if len(p.used) == 0 {
			texts = append(texts, p.text)
		}
	}
	for _, p := range a.wild {
		if len(p.used) == 0 {
			texts = append(texts, p.text)
		}
	}
	slices.Sort(texts)
	return texts
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Call is one execution, as the one who answers it sees it.
type Call struct {
	Path     string          `json:"path"`
	Visit    int             `json:"visit"`
	Attempt  int             `json:"attempt"`
	ExecType flow.ExecType   `json:"exec_type"`
	Target   string          `json:"target"` // the service, the function, or the script's command or language
	Input    json.RawMessage `json:"input"`
	Params   json.RawMessage `json:"params"`
}

func (c Call) String() string {
	text := c.Path
	if c.Visit > 1 {
		text += fmt.Sprintf(", visit %d", c.Visit)
	}
	if c.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", c.Attempt)
	}
	const most = 80
	return fmt.Sprintf("%s (%s %s, input %s)", text, c.ExecType, c.Target, errs.Shorten(string(c.Input), most))
}

func targetOf(exec *flow.Exec) string {
	switch exec.Type {
	case flow.ExecLocalFunc:
		return exec.Func
	case flow.ExecLocalScript:
		if exec.Script.Cmd != "" {
			return exec.Script.Cmd
		}
		return exec.Script.Language
	case flow.ExecHTTP, flow.ExecQueue:
	}
	return exec.Service
}

// timeoutOf bounds an attempt that is not queued: that one's time is the
// engine's to keep.
func timeoutOf(exec *flow.Exec, timeout time.Duration) time.Duration {
	if exec.Type != flow.ExecLocalScript {
		return timeout
	}
	own := time.Duration(exec.Script.TimeoutMS) * time.Millisecond
	if own > 0 && (timeout == 0 || own < timeout) {
		return own
	}
	return timeout
}
