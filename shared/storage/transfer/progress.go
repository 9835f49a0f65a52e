package transfer

// Phase is what is being done with a table.
type Phase string

const (
	Copying   Phase = "copying"
	Comparing Phase = "comparing"
)

// Phases lists every phase.
var Phases = []Phase{Copying, Comparing}

// Progress is how far the work on one table is. The last one of a table has
// Done set.
type Progress struct {
	Phase   Phase
	Service string
	Table   string
	Rows    int64 // so far, with those of an earlier try
	Total   int64 // at the source
	Done    bool
}
