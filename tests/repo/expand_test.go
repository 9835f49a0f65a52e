package repo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// A fault is what a migration does to the version before, which serves on
// while it runs and after it.
type fault string

const (
	// A contract migration may take away; it names who must be gone by then.
	takesAway fault = "takes from the version before what it uses"
	// The others are refused in any migration: there is a way without them.
	blocks       fault = "keeps the version before from the table for as long as it takes"
	noAgain      fault = "cannot run again after it was cut short, and runs in no transaction"
	inTx         fault = "cannot run in a transaction: the file needs -- +goose NO TRANSACTION"
	unknown      fault = "is nothing that these rules know"
	badMark      fault = "the contract mark must name an earlier version"
	needlessMark fault = "the contract mark is on a migration that takes nothing away"
)

// found is a fault and the statement that has it.
type found struct {
	fault fault
	in    string // the beginning of the statement
}

func (f found) String() string { return fmt.Sprintf("%s: %s", f.in, f.fault) }

// file is one migration.
type file struct {
	Dialect string
	Version int64
	Text    string
}

// faultsOf holds a migration to what the version before can live with.
func faultsOf(f file) ([]found, error) {
	up, _, ok := strings.Cut(f.Text, "-- +goose Down")
	if !ok {
		return nil, fmt.Errorf("no Down")
	}
	needs, err := migrations.ContractOf(f.Text)
	if err != nil {
		return nil, err
	}
	all, err := statements(up)
	if err != nil {
		return nil, err
	}
	r := reader{
		postgres: f.Dialect == migrations.Postgres, alone: strings.Contains(up, "-- +goose NO TRANSACTION"),
		made: map[string]bool{}, builds: builds(all), cleared: map[string]bool{},
	}
	var faults []found
	taken := false
	for _, s := range all {
		about := strings.Join(s[:min(len(s), 8)], " ")
		for _, one := range r.read(s) {
			if one == takesAway && needs > 0 {
				taken = true
				continue
			}
			faults = append(faults, found{one, about})
		}
	}
	if needs >= f.Version {
		faults = append(faults, found{badMark, "contract"})
	}
	if needs > 0 && !taken {
		faults = append(faults, found{needlessMark, "contract"})
	}
	return faults, nil
}

// reader reads the statements of one file in order.
type reader struct {
	postgres bool
	alone    bool            // in no transaction
	made     map[string]bool // tables of this file, which nobody uses yet
	builds   map[string]bool // indexes that the file builds
	cleared  map[string]bool // those of them that it has dropped before
	patient  bool            // it waits for locks without a limit
}

func builds(all []statement) map[string]bool {
	names := map[string]bool{}
	for _, s := range all {
		if rest, ok := cutIndex(s); ok {
			name, _ := rest.skip("CONCURRENTLY").skip("IF", "NOT", "EXISTS").name()
			names[name] = true
		}
	}
	return names
}

func (r *reader) read(s statement) []fault {
	var faults []fault
	if _, sets := s.take("SET", "LOCK_TIMEOUT"); sets && r.alone {
		r.patient = true
		return nil
	}
	if _, resets := s.take("RESET", "LOCK_TIMEOUT"); resets && r.patient {
		r.patient = false
		return nil
	}
	if r.patient && !s.has("CONCURRENTLY") {
		faults = append(faults, blocks) // all who come after it queue up behind it
	}
	if s.has("CONCURRENTLY") && !r.alone {
		faults = append(faults, inTx)
	}
	if r.alone && !r.again(s) {
		faults = append(faults, noAgain)
	}
	return append(faults, r.change(s)...)
}

// again tells whether the statement can be repeated after it has run, in whole
// or in part. A CREATE INDEX CONCURRENTLY that was cut short leaves an invalid
// index, which IF NOT EXISTS would take for the real one.
func (r *reader) again(s statement) bool {
	if rest, ok := cutIndex(s); ok {
		name, _ := rest.skip("CONCURRENTLY").skip("IF", "NOT", "EXISTS").name()
		return r.cleared[name]
	}
	if rest, ok := s.take("ALTER", "TABLE"); ok {
		return rest.has("EXISTS") || rest.has("VALIDATE") || rest.has("SET")
	}
	return s.has("EXISTS")
}

func cutIndex(s statement) (statement, bool) {
	rest, ok := s.take("CREATE")
	if !ok {
		return s, false
	}
	return rest.skip("UNIQUE").take("INDEX")
}

func (r *reader) change(s statement) []fault {
	if rest, ok := s.take("CREATE", "TABLE"); ok {
		name, rest := rest.skip("IF", "NOT", "EXISTS").name()
		r.made[name] = true
		return r.references(rest)
	}
	if rest, ok := cutIndex(s); ok {
		return r.index(s, rest)
	}
	if rest, ok := s.take("ALTER", "TABLE"); ok {
		return r.table(rest.skip("IF", "EXISTS").skip("ONLY"))
	}
	if rest, ok := s.take("DROP", "INDEX"); ok {
		name, _ := rest.skip("CONCURRENTLY").skip("IF", "EXISTS").name()
		if rest.has("CONCURRENTLY") && rest.has("EXISTS") && r.builds[name] {
			// The remnant of a build that was cut short.
			r.cleared[name] = true
			return nil
		}
		return []fault{takesAway}
	}
	if rest, ok := s.take("INSERT", "INTO"); ok {
		return r.unlessMade(rest, takesAway)
	}
	if rest, ok := s.take("UPDATE"); ok {
		return r.unlessMade(rest, blocks)
	}
	if rest, ok := s.take("DELETE", "FROM"); ok {
		return r.unlessMade(rest, blocks)
	}
	switch {
	case len(s) > 1 && s[0] == "DROP", s[0] == "TRUNCATE":
		return []fault{takesAway}
	case s[0] == "COMMENT":
		return nil
	}
	return []fault{unknown}
}

// references reads the columns of a new table. Rows that it refers to cannot be
// deleted any more by a version that does not know it.
func (r *reader) references(rest statement) []fault {
	for i, token := range rest {
		if token == "REFERENCES" && i+1 < len(rest) {
			if name, _ := rest[i+1:].name(); !r.made[name] {
				return []fault{takesAway}
			}
		}
	}
	return nil
}

func (r *reader) unlessMade(rest statement, f fault) []fault {
	if name, _ := rest.name(); r.made[name] {
		return nil
	}
	return []fault{f}
}

// index reads a CREATE INDEX; rest is what is behind its INDEX. PostgreSQL lets nobody write to
// the table while it builds one, unless it builds concurrently; SQLite's one
// process is the one that migrates.
func (r *reader) index(s, rest statement) []fault {
	concurrently := rest.has("CONCURRENTLY")
	name, rest := rest.skip("CONCURRENTLY").skip("IF", "NOT", "EXISTS").name()
	rest, ok := rest.take("ON")
	if !ok {
		return []fault{unknown}
	}
	if table, _ := rest.skip("ONLY").name(); r.made[table] {
		return nil
	}
	var faults []fault
	if s.has("UNIQUE") { // what the version before writes may be refused by it
		faults = append(faults, takesAway)
	}
	if r.postgres && !concurrently {
		faults = append(faults, blocks)
	}
	if concurrently && !r.cleared[name] && !r.alone {
		faults = append(faults, noAgain)
	}
	return faults
}

// table reads an ALTER TABLE behind its TABLE.
func (r *reader) table(rest statement) []fault {
	name, rest := rest.name()
	if r.made[name] {
		return nil
	}
	var faults []fault
	for _, action := range rest.parts() {
		faults = append(faults, alteration(action)...)
	}
	return faults
}

// harmless are alterations that neither the version before nor its speed
// notices.
var harmless = [][]string{{"VALIDATE", "CONSTRAINT"}, {"SET", "("}, {"RESET", "("}}

func alteration(s statement) []fault {
	if rest, ok := s.take("ADD", "CONSTRAINT"); ok {
		// It holds for what the version before writes, and unless it says NOT
		// VALID every row is read first, with the table locked.
		if rest.has("VALID") {
			return []fault{takesAway}
		}
		return []fault{takesAway, blocks}
	}
	if rest, ok := s.take("ADD"); ok {
		return column(rest.skip("COLUMN").skip("IF", "NOT", "EXISTS"))
	}
	for _, words := range harmless {
		if _, ok := s.take(words...); ok {
			return nil
		}
	}
	if rest, ok := s.take("ALTER"); ok {
		_, rest = rest.skip("COLUMN").name()
		switch {
		case len(rest) > 1 && rest[0] == "SET" && (rest[1] == "DEFAULT" || rest[1] == "STATISTICS"):
			return nil
		case rest.has("TYPE"): // the whole table is written anew
			return []fault{takesAway, blocks}
		}
		return []fault{takesAway} // SET NOT NULL, DROP DEFAULT, DROP NOT NULL
	}
	if len(s) > 0 && (s[0] == "DROP" || s[0] == "RENAME") {
		return []fault{takesAway}
	}
	return []fault{unknown}
}

// column reads the definition of a column that is added. The version before
// names its columns when it writes and leaves this one out.
func column(s statement) []fault {
	_, s = s.name()
	for _, word := range []string{"UNIQUE", "PRIMARY", "REFERENCES", "CHECK", "GENERATED", "CONSTRAINT", "SERIAL", "BIGSERIAL"} {
		if s.has(word) {
			return []fault{takesAway, blocks}
		}
	}
	at := slices.Index(s, "DEFAULT")
	if at < 0 {
		if s.has("NOT") {
			return []fault{takesAway}
		}
		return nil
	}
	// A default that must be computed for each row means that every row is
	// written.
	value := slices.DeleteFunc(slices.Clone(s[at+1:]), func(token string) bool { return token == "-" || token == "+" })
	if len(value) == 0 || !constant(value[0]) || slices.Contains(value, "(") {
		return []fault{blocks}
	}
	return nil
}

func constant(token string) bool {
	return token[0] == '\'' || (token[0] >= '0' && token[0] <= '9') || slices.Contains([]string{"TRUE", "FALSE", "NULL"}, token)
}
