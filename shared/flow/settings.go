package flow

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// DurationSetting is a number of milliseconds that a definition gives as a
// literal or a reference.
type DurationSetting struct {
	value   expr.Value
	literal time.Duration // when the value holds no reference
}

func newDurationSetting(value expr.Value) DurationSetting {
	s := DurationSetting{value: value}
	if raw, ok := value.Literal(); ok {
		s.literal, _ = durationOf(raw) // Compile reports the error
	}
	return s
}

// IsSet reports whether the definition has the setting.
func (s DurationSetting) IsSet() bool { return !s.value.IsZero() }

// Resolve gives the duration; 0 when the setting is absent or its reference
// finds nothing. The error is for a value that is no whole number of
// milliseconds, or negative.
func (s DurationSetting) Resolve(scope expr.Scope) (time.Duration, error) {
	if _, ok := s.value.Ref(); !ok {
		return s.literal, nil
	}
	return durationOf(s.value.Resolve(scope))
}

// TimeSetting is a time that a definition gives as RFC 3339 text or unix
// milliseconds, a literal or a reference.
type TimeSetting struct {
	value expr.Value
}

// IsSet reports whether the definition has the setting.
func (s TimeSetting) IsSet() bool { return !s.value.IsZero() }

// Resolve gives the time in UTC, cut to the microsecond. The error is for a
// value that is neither form, null included: to take a missing time for a past
// one would fire at once.
func (s TimeSetting) Resolve(scope expr.Scope) (time.Time, error) {
	return timeOf(s.value.Resolve(scope))
}

// maxMillis is the longest time that a time.Duration holds.
const maxMillis = math.MaxInt64 / int64(time.Millisecond)

func durationOf(raw json.RawMessage) (time.Duration, error) {
	if rawjson.IsNull(raw) {
		return 0, nil
	}
	ms, err := rawjson.Int(raw)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a whole number of milliseconds", brief(raw))
	case ms < 0:
		return 0, fmt.Errorf("%d is negative", ms)
	case ms > maxMillis:
		return 0, fmt.Errorf("%d milliseconds are more than can be counted", ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func timeOf(raw json.RawMessage) (time.Time, error) {
	if rawjson.TypeOf(raw) == rawjson.String {
		t, err := time.Parse(time.RFC3339, rawjson.Text(raw))
		if err != nil {
			return time.Time{}, fmt.Errorf("%s is not a time of RFC 3339", brief(raw))
		}
		return t.UTC().Truncate(time.Microsecond), nil
	}
	ms, err := rawjson.Int(raw)
	if err != nil || ms < 0 || ms > maxMillis {
		return time.Time{}, fmt.Errorf("%s is neither a time of RFC 3339 nor unix milliseconds", brief(raw))
	}
	return time.UnixMilli(ms).UTC(), nil
}

// brief cuts a value that goes into a message.
func brief(raw json.RawMessage) string {
	const most = 40
	if text := string(rawjson.Trim(raw)); len(text) <= most {
		return text
	}
	return "the value"
}
