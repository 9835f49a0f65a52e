package httpx

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// UnmarshalByTheBook is Unmarshal said as plainly as it can be, with
// encoding/json at every level: what Unmarshal is held against.
func UnmarshalByTheBook(data []byte, dst any, strictness Strictness) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	b := book{decoder{strictness: strictness}}
	b.value(data, reflect.ValueOf(dst).Elem(), "")
	slices.SortStableFunc(b.faults, func(a, b errs.Fault) int { return strings.Compare(a.Path, b.Path) })
	return errs.Invalid(b.code(), b.faults)
}

// book shares with decoder what a fault is and which texts may be stored.
type book struct{ decoder }

func (b *book) value(data []byte, dst reflect.Value, path string) {
	if raw, ok := dst.Addr().Interface().(*json.RawMessage); ok {
		*raw = data
		return
	}
	if string(data) == "null" {
		return
	}
	switch {
	case dst.Addr().Type().Implements(unmarshalerType):
	case dst.Kind() == reflect.Struct:
		b.object(data, dst, path)
		return
	case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Struct:
		b.array(data, dst, path)
		return
	}
	if err := json.Unmarshal(data, dst.Addr().Interface()); err != nil {
		b.fault(path, errs.InvalidArgument, "must be %s", describe(dst.Type()))
		return
	}
	b.texts(dst, path)
}

func (b *book) array(data []byte, dst reflect.Value, path string) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		b.fault(path, errs.InvalidArgument, "must be an array of objects")
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		b.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	dst.Set(out)
}

func (b *book) object(data []byte, dst reflect.Value, path string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		b.fault(path, errs.InvalidArgument, "must be an object")
		return
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(dst.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[normalize(name)] = f.Index
		if alias := f.Tag.Get("alias"); alias != "" {
			for a := range strings.SplitSeq(alias, ",") {
				fields[normalize(a)] = f.Index
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		index, ok := fields[normalize(name)]
		switch {
		case ok:
			b.value(members[name], dst.FieldByIndex(index), join(path, name))
		case b.strictness == Strict:
			b.fault(join(path, name), errs.UnknownField, "unknown field")
		}
	}
}
