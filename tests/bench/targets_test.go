//go:build linux

package bench

import "fmt"

// quantity is what a target is about.
type quantity string

const (
	ofMedian quantity = "median"
	ofRatio  quantity = "ratio"
)

// target is what a row of the report should show.
type target struct {
	work  string
	setup setup
	unit  unit
	of    quantity
	// One of them bounds the quantity.
	least, most float64
	// perFloor is the figure of the floor, with single polls in W3, that the
	// bound is stated for; where the floor comes to less, the bound is less by as
	// much. 0 for a bound that does not depend on it.
	perFloor float64
}

const (
	// nothing is a bound that only 0 keeps: 0 itself is no bound.
	nothing = 0.001
	// sameRate is the ratio of two rates that do not differ by more than two
	// measurements of the same thing do.
	sameRate = 0.95
)

// targets are what the suite is to reach on two cores.
var targets = []target{
	{work: "W1", setup: allInOne, unit: tasksPerSecond, of: ofRatio, least: 0.60},
	{work: "W1", setup: allInOne, unit: tasksPerSecond, of: ofMedian, least: 1000, perFloor: 2000},
	{work: "W1", setup: fiveSQLite, unit: tasksPerSecond, of: ofRatio, least: 0.40},
	{work: "W1", setup: fivePostgres, unit: tasksPerSecond, of: ofRatio, least: 0.35},
	{work: "W2", setup: allInOne, unit: msP50, of: ofRatio, most: 1.5},
	{work: "W2", setup: allInOne, unit: msP99, of: ofRatio, most: 3},
	{work: "W3", setup: allInOne + single, unit: tasksPerSecond, of: ofMedian, least: 1500, perFloor: 2000},
	{work: "W3", setup: allInOne + batched, unit: tasksPerSecond, of: ofMedian, least: 2500, perFloor: 2000},
	{work: "W3l", setup: allInOne, unit: msP50, of: ofMedian, most: 5},
	{work: "W3l", setup: allInOne, unit: msP99, of: ofMedian, most: 25},
	{work: "W4", setup: withHistory, unit: tasksPerSecond, of: ofRatio, least: 0.9},
	{work: "W4", setup: withHistory, unit: msP99, of: ofRatio, most: 1.3},
	{work: "W5", setup: allInOne + foreachOf + growth, unit: times, of: ofMedian, most: 1.2},
	{work: "W5", setup: allInOne + parallelOf + growth, unit: times, of: ofMedian, most: 1.2},
	{work: "W6", setup: withWaiting, unit: tasksPerSecond, of: ofRatio, least: 0.9},
	{work: "W6", setup: withWaiting, unit: idleKiB, of: ofMedian, most: nothing},
	{work: "W8", setup: "2 schedulers", unit: tasksPerSecond, of: ofRatio, least: sameRate},
	{work: "W8", setup: "2 schedulers", unit: lockShare, of: ofMedian, most: 1},
	{work: "memory", setup: "peak in W1", unit: megabytes, of: ofMedian, most: 120},
	{work: "memory", setup: "last third of W1 to first", unit: times, of: ofMedian, most: 1.1},
	{work: "memory", setup: "idle after W1", unit: megabytes, of: ofMedian, most: 40},
	{work: "memory", setup: "idle after W1", unit: cpuShare, of: ofMedian, most: 0.5},
}

// verdict tells whether a row meets a target.
type verdict struct {
	Of    quantity `json:"of"`
	Least float64  `json:"least,omitempty"`
	Most  float64  `json:"most,omitempty"`
	Met   bool     `json:"met"`
}

func (v verdict) String() string {
	bound := "≥ " + number(v.Least)
	switch {
	case v.Most == nothing:
		bound = "= 0"
	case v.Most > 0:
		bound = "≤ " + number(v.Most)
	}
	if v.Met {
		return fmt.Sprintf("%s %s: met", v.Of, bound)
	}
	return fmt.Sprintf("%s %s: NOT MET", v.Of, bound)
}

// judge holds a row to its targets.
func (r *report) judge(at *row) []verdict {
	var all []verdict
	for _, t := range targets {
		if t.work != at.Work || t.setup != at.Setup || t.unit != at.Unit {
			continue
		}
		v := verdict{Of: t.of, Least: t.least, Most: t.most}
		if t.perFloor > 0 {
			floor := r.find(at.Work, floorOf(t.setup), at.Unit)
			if at.Work == "W3" {
				floor = r.find(at.Work, floorSQLite+single, at.Unit)
			}
			if floor == nil {
				continue
			}
			v.Least *= min(1, floor.Median/t.perFloor)
		}
		value := at.Median
		if t.of == ofRatio {
			value = at.Ratio
		}
		v.Met = value >= v.Least && (v.Most == 0 || value <= v.Most)
		all = append(all, v)
	}
	return all
}
