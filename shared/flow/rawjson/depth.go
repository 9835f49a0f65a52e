package rawjson

// MaxDepth is how deep a value that a task carries may nest. encoding/json reads
// ten thousand levels, and values come inside others: in an event, in a state,
// in a job.
const MaxDepth = 1000

// TooDeep reports whether arrays and objects nest deeper than MaxDepth.
func TooDeep(raw []byte) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = skipString(raw, i) - 1
		case '{', '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
