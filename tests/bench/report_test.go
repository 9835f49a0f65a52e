//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// unit is what a figure counts.
type unit string

const (
	tasksPerSecond unit = "tasks/s"
	msP50          unit = "ms, p50"
	msP99          unit = "ms, p99"
	usPerBranch    unit = "µs/branch"
	times          unit = "times" // one figure is so many times another
	lockShare      unit = "% of sessions wait for a lock"
	cpuShare       unit = "% of a processor"
	megabytes      unit = "MB"
	idleKiB        unit = "KiB written in 5 idle s"
	idleCommits    unit = "commits in 5 idle s"
)

// figure is what one measurement of one round came to.
type figure struct {
	setup   setup
	unit    unit
	round   int
	value   float64
	against setup // whose figure of the round it is divided by; "" for the floor's
	tasks   int   // that the usage is of; 0 without one
	usage   usage
}

// row is a line of the report: the same figure of all rounds.
type row struct {
	Work    string `json:"work"`
	About   string `json:"about"`
	Setup   setup  `json:"setup"`
	Unit    unit   `json:"unit"`
	Against setup  `json:"against,omitempty"`

	Median float64   `json:"median"`
	Values []float64 `json:"values"` // by round
	// Ratios are those of the values to what they are held against, by round.
	Ratio  float64   `json:"ratio,omitempty"` // the median
	Ratios []float64 `json:"ratios,omitempty"`

	// What was used, over all rounds; 0 where it was not measured.
	Tasks           int     `json:"tasks,omitempty"` // in W5 branches
	CPUPerTask      float64 `json:"cpu_us_per_task,omitempty"`
	CPURatio        float64 `json:"cpu_ratio,omitempty"` // to what Ratio is to
	ClientsPerTask  float64 `json:"clients_cpu_us_per_task,omitempty"`
	PeakMB          float64 `json:"peak_rss_mb,omitempty"`
	WrittenPerTask  float64 `json:"written_kib_per_task,omitempty"`
	CommitsPerTask  float64 `json:"commits_per_task,omitempty"`
	WritesPerCommit float64 `json:"writes_per_commit,omitempty"`

	Targets []verdict `json:"targets,omitempty"`

	total usage
}

// report gathers figures.
type report struct {
	work, about string // that are being measured
	began       time.Time
	rows        []*row
}

func newReport() *report { return &report{began: time.Now()} }

// add notes a figure of the work that is being measured.
func (r *report) add(f figure) {
	at := r.find(r.work, f.setup, f.unit)
	if at == nil {
		at = &row{Work: r.work, About: r.about, Setup: f.setup, Unit: f.unit, Against: f.against}
		r.rows = append(r.rows, at)
	}
	for len(at.Values) <= f.round {
		at.Values = append(at.Values, 0)
	}
	at.Values[f.round] = f.value
	at.Tasks += f.tasks
	at.total = at.total.and(f.usage)
}

// addRate notes how many tasks a second there were.
func (r *report) addRate(round int, s *system, got sample) {
	r.add(figure{
		setup: s.setup, against: s.against, unit: tasksPerSecond,
		round: round, value: float64(got.tasks) / got.took.Seconds(), tasks: got.tasks, usage: got.usage,
	})
}

// addPercentiles notes the median and the 99th percentile of what tasks took.
func (r *report) addPercentiles(round int, s *system, got sample) {
	took := got.each
	slices.Sort(took)
	p50 := figure{setup: s.setup, against: s.against, unit: msP50, round: round, value: ms(took[len(took)/2])}
	p99 := p50
	p99.unit, p99.value = msP99, ms(took[len(took)*99/100])
	p50.tasks, p50.usage = got.tasks, got.usage
	r.add(p50)
	r.add(p99)
}

func (r *report) find(work string, of setup, unit unit) *row {
	i := slices.IndexFunc(r.rows, func(at *row) bool { return at.Work == work && at.Setup == of && at.Unit == unit })
	if i < 0 {
		return nil
	}
	return r.rows[i]
}

// finish computes what is said of the rows from what was measured.
func (r *report) finish() {
	for _, at := range r.rows {
		at.Median = median(at.Values)
		if at.Against == "" {
			at.Against = floorOf(at.Setup)
		}
		at.Ratio, at.Ratios = 0, nil
		if base := r.find(at.Work, at.Against, at.Unit); base != nil && base != at {
			for round, value := range at.Values {
				if round < len(base.Values) && base.Values[round] > 0 { // a work that failed has not all
					at.Ratios = append(at.Ratios, value/base.Values[round])
				}
			}
			at.Ratio = median(at.Ratios)
		}
		if n := float64(at.Tasks); n > 0 {
			at.CPUPerTask = float64(at.total.cpu.Microseconds()) / n
			at.ClientsPerTask = float64(at.total.clients.Microseconds()) / n
			at.PeakMB = float64(at.total.peak) / (1 << 20)
			at.WrittenPerTask = float64(at.total.written) / 1024 / n
			at.CommitsPerTask = at.total.commits / n
			at.WritesPerCommit = at.total.writes / max(at.total.commits, 1)
		}
	}
	for _, at := range r.rows {
		if base := r.find(at.Work, at.Against, at.Unit); base != nil && base != at && base.CPUPerTask > 0 {
			at.CPURatio = at.CPUPerTask / base.CPUPerTask
		}
		at.Targets = r.judge(at)
	}
}

// floorOf is the floor that a setup is held against; "" for a floor.
func floorOf(s setup) setup {
	switch {
	case s == floorSQLite || s == floorPostgres:
		return ""
	case strings.Contains(string(s), "Postgres"):
		return floorPostgres
	}
	return floorSQLite
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// print writes a table that is both read as text and rendered as Markdown.
func (r *report) print(to io.Writer) {
	r.finish()
	fmt.Fprintln(to)
	work := ""
	for i, at := range r.rows {
		if at.Work == work {
			continue
		}
		work = at.Work
		fmt.Fprintf(to, "\n%s, %s\n\n", at.Work, at.About)
		end := i + slices.IndexFunc(r.rows[i:], func(other *row) bool { return other.Work != work })
		if end < i {
			end = len(r.rows)
		}
		printRows(to, r.rows[i:end])
	}
	machine := facts(r.began)
	fmt.Fprintf(to, "\n%d processors, %s, commit %s, %s, %v\n", machine.Processors, machine.Go, machine.Commit, machine.Date, time.Since(r.began).Round(time.Second))
}

var header = []string{"setup", "unit", "median (of rounds)", "ratio (of rounds)", "CPU µs each", "clients' CPU", "peak MB", "written KiB each", "commits each", "writes/commit", "target"}

func printRows(to io.Writer, rows []*row) {
	table := tabwriter.NewWriter(to, 0, 1, 1, ' ', tabwriter.Debug)
	line := func(cells []string) { fmt.Fprintf(table, "\t %s\t\n", strings.Join(cells, "\t ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, at := range rows {
		var targets []string
		for _, target := range at.Targets {
			targets = append(targets, target.String())
		}
		cells := []string{
			string(at.Setup), string(at.Unit), spread(at.Median, at.Values), spread(at.Ratio, at.Ratios),
			"", "", "", "", "", "", strings.Join(targets, "; "),
		}
		if at.Tasks > 0 {
			for i, value := range []float64{at.CPUPerTask, at.ClientsPerTask, at.PeakMB, at.WrittenPerTask, at.CommitsPerTask, at.WritesPerCommit} {
				cells[4+i] = number(value)
			}
			if at.CPURatio > 0 {
				cells[4] += fmt.Sprintf(" (× %s)", number(at.CPURatio))
			}
		}
		line(cells)
	}
	_ = table.Flush() // the terminal is gone
}

// spread is a median with the least and the most of its rounds.
func spread(median float64, values []float64) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return number(median)
	}
	return fmt.Sprintf("%s (%s to %s)", number(median), number(slices.Min(values)), number(slices.Max(values)))
}

// number has three digits that count.
func number(value float64) string {
	switch {
	case value == 0:
		return "0"
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

// machine is what the figures depend on besides the code.
type machine struct {
	Processors int    `json:"processors"`
	Go         string `json:"go"`
	System     string `json:"system"`
	Commit     string `json:"commit"`
	Date       string `json:"date"`
}

func facts(at time.Time) machine {
	commit := "unknown"                                                                                         // in a checkout that git refuses
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil { //nolint:noctx // ends at once
		commit = strings.TrimSpace(string(out))
	}
	return machine{
		Processors: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Commit: commit, Date: at.UTC().Format(time.RFC3339),
	}
}

// save writes the report as JSON.
func (r *report) save(path string) error {
	data, err := json.MarshalIndent(struct {
		Machine machine `json:"machine"`
		Rounds  int     `json:"rounds"`
		Scale   float64 `json:"scale"`
		History int     `json:"history"`
		Rows    []*row  `json:"rows"`
	}{facts(r.began), *rounds, *scale, *history, r.rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
