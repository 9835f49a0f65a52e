package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// verify names everything that is not as the scenario says.
func (s Scenario) verify(task schedulerapi.Task, runs []schedulerapi.Run) []string {
	var faults []string
	if task.Status != string(storage.TaskCompleted) {
		faults = append(faults, fmt.Sprintf("the task is %s, not completed", task.Status))
	}
	if missing := contains("shared", decode(task.SharedJSON), decode(s.Shared)); len(missing) > 0 {
		faults = append(faults, missing...)
	}
	var went []string
	for _, r := range runs {
		went = append(went, r.Path+" "+r.Status)
		if r.StartedAt == 0 || r.FinishedAt < r.StartedAt {
			faults = append(faults, fmt.Sprintf("run %s of node %s has no proper times", r.ID, r.Path))
		}
	}
	if !slices.Equal(went, s.Runs) {
		faults = append(faults, fmt.Sprintf("it went through [%s], not [%s]", strings.Join(went, ", "), strings.Join(s.Runs, ", ")))
	}
	return faults
}

// contains names what want has and got has not: members of objects may be more
// in got, everything else must be equal.
func contains(path string, got, want any) []string {
	wanted, ok := want.(map[string]any)
	if !ok {
		if g, w := text(got), text(want); g != w {
			return []string{fmt.Sprintf("%s is %s, not %s", path, g, w)}
		}
		return nil
	}
	members, ok := got.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s is %s, not an object", path, text(got))}
	}
	var faults []string
	for name, value := range wanted {
		faults = append(faults, contains(path+"."+name, members[name], value)...)
	}
	slices.Sort(faults)
	return faults
}

// decode keeps numbers as their text: what a flow calculated exactly is not
// compared through a float. Text that is no JSON equals nothing that is wanted.
func decode(data string) any {
	dec := json.NewDecoder(strings.NewReader(data))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil
	}
	return value
}

func text(value any) string {
	text, err := rawjson.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
