package httpx

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// The functions here are for JSON that is known to be well-formed. They look no
// closer than where a value begins and ends: encoding/json would read every
// level once more to check it, and copy it.

// member is one member of an object. Both are parts of the body, but a name
// with escapes.
type member struct{ name, value []byte }

// appendMembers appends the members of an object, by name; of those with the
// same name the last alone.
func appendMembers(members []member, object []byte) []member {
	before := len(members)
	for name, value := range rawjson.Members(object) {
		members = append(members, member{nameOf(name), value})
	}
	added := members[before:]
	slices.SortStableFunc(added, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	kept := 0
	for i, m := range added {
		if i+1 < len(added) && bytes.Equal(m.name, added[i+1].name) {
			continue
		}
		added[kept] = m
		kept++
	}
	return members[:before+kept]
}

func nameOf(text []byte) []byte {
	if plain, ok := plainText(text); ok {
		return plain
	}
	var name string
	_ = json.Unmarshal(text, &name) // cannot fail: it is a well-formed text
	return []byte(name)
}

// plainText is what a text without escapes stands for.
func plainText(value []byte) ([]byte, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}
