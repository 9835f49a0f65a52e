//go:build linux

package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What BenchmarkWorks does is chosen by flags of the test binary; a go command
// takes them behind the package.
var (
	chosen  = flag.String("works", "", "works to run, such as W1,W4; none for all")
	rounds  = flag.Int("rounds", 3, "how often each measurement is made")
	scale   = flag.Float64("scale", 1, "how long a measurement takes, times the default")
	history = flag.Int("history", 100_000, "finished tasks of W4")
	// A slice of a second has few samples: scale 5 gives five of them.
	profiles = flag.String("profiles", "", "directory for profiles of the suite's processor time, one of each process in the first slice; none for none")
	output   = flag.String("out", "../../bench.json", "file for the figures as JSON, from the package's directory")
)

// works are what is measured, in the order of the report.
var works = []struct {
	name  string
	about string
	run   func(b *testing.B, r *report)
}{
	{"W1", "throughput: 3-step HTTP flow, 64 in flight", throughput},
	{"W2", "latency: 3-step HTTP flow, one at a time", latency},
	{"W3", "pull: tasks of one queue node, 8 pull workers", pull},
	{"W3l", "pickup: from creating a task until a waiting poll is answered, with 500 idle long polls", pickup},
	{"W4", "history: W1 and W2 after finished tasks", afterHistory},
	{"W5", "branches: one task with many, a hundred at a time", branches},
	{"W6", "company: W1 beside 50,000 tasks that wait", besideWaiting},
	{"W7", "creation: tasks that wait at their first node, 64 clients", creation},
	{"W8", "schedulers: W1 with more of them, five processes and more, Postgres", schedulers},
	{"memory", "memory and idleness: W1 for fifteen seconds, and then nothing", memory},
}

// BenchmarkWorks runs the suite and the floor by turns and prints how they
// compare. It fails for wrong results alone; a figure that misses its target is
// marked.
func BenchmarkWorks(b *testing.B) {
	var wanted []string
	if *chosen != "" {
		wanted = strings.Split(*chosen, ",")
	}
	for _, name := range wanted {
		require.Contains(b, names(), name, "works")
	}
	r := newReport()
	for _, work := range works {
		if wanted != nil && !slices.Contains(wanted, work.name) {
			continue
		}
		b.Run(work.name, func(b *testing.B) {
			r.work, r.about = work.name, work.about
			work.run(b, r)
		})
	}
	r.print(os.Stdout)
	require.NoError(b, r.save(*output))
	fmt.Printf("\nThe same as JSON: %s\n", *output)
}

func names() []string {
	var all []string
	for _, work := range works {
		all = append(all, work.name)
	}
	return all
}

// span is how long a measurement takes that takes this long by default.
func span(d time.Duration) time.Duration { return time.Duration(float64(d) * *scale) }

// slicesOfRound are the parts of a round. In each all systems have their turn, so that
// what holds up the machine for a second or two is in all of them.
const slicesOfRound = 3

// turns are measurements that systems take by turns.
type turns struct {
	b       *testing.B
	name    string // of these turns in the work, for profiles
	systems []*system
	span    time.Duration // of one system in a round
	measure func(s *system, d time.Duration) sample
	record  func(round int, s *system, got sample)
}

func (t turns) run() {
	for round := range *rounds {
		got := map[*system]sample{}
		for slice := range slicesOfRound {
			for i := range t.systems {
				s := t.systems[(round+slice+i)%len(t.systems)]
				d := span(t.span) / slicesOfRound
				wait := func() {}
				if *profiles != "" && round == 0 && slice == 0 {
					wait = s.profile(t.b, t.name, d)
				}
				got[s] = got[s].and(t.measure(s, d))
				wait()
			}
		}
		for _, s := range t.systems {
			t.record(round, s, got[s])
		}
	}
}
