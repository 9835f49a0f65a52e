package storage

import "time"

// RunRef names a run so that its row is found by its key.
type RunRef struct {
	TaskID string
	No     int
	ID     string
}

// RunningMark says that a pull worker carries a run out.
type RunningMark struct {
	Run      RunRef
	WorkerID string // "": unknown; the one that is on record stays
}

// LogEntry is text that the execution of a run wrote besides its result. It is
// whole lines: one that does not end in a newline is given it.
type LogEntry struct {
	Run RunRef
	// SourceID makes a repeat harmless: a run has one entry of each. ""
	// is none; such an entry is added as often as it is sent.
	SourceID string
	Text     string // for people
	At       time.Time
}

const (
	// LogEntryCost is what an entry counts, besides its text, towards the most
	// bytes of its run's log: else the smallest ones would have no bound.
	LogEntryCost = 64

	// LogFull ends a log that is full.
	LogFull = "[the log is full: what came after is left out]\n"
)

// RunLogQuery names a run whose log is to be read. The task's id may be left
// out for a run that has a log or is a pull worker's: others are not found by
// their id alone.
type RunLogQuery struct {
	RunID  string
	TaskID string
}

// RunLog is the log of a run.
type RunLog struct {
	Run RunRef
	// Status is the run's, as it was no later than Text: with that of a run
	// that has ended the text is all that was written before its end.
	Status RunStatus
	Text   string
}
