package parcel

import "time"

const (
	// receiptsWait is how long a receipt may wait for others: each costs a
	// commit if it is written alone, beside those that somebody waits for.
	receiptsWait = 100 * time.Millisecond
	// mostReceipts is how many are written without waiting for more.
	mostReceipts = 500
)

// Receipts are the ids of what has been delivered and is to be acknowledged,
// gathered so that many are written together. Nobody waits for them: what is not
// acknowledged, because of a crash say, is delivered once more. They belong to one
// goroutine.
type Receipts struct {
	ids []string
	due *time.Timer
}

// NewReceipts has none.
func NewReceipts() *Receipts {
	due := time.NewTimer(0)
	due.Stop()
	return &Receipts{due: due}
}

// Add adds to what is to be written.
func (r *Receipts) Add(ids ...string) {
	if len(ids) == 0 {
		return
	}
	if len(r.ids) == 0 {
		r.due.Reset(receiptsWait)
	}
	r.ids = append(r.ids, ids...)
	if len(r.ids) >= mostReceipts {
		r.due.Reset(0)
	}
}

// Due tells that it is time to write.
func (r *Receipts) Due() <-chan time.Time { return r.due.C }

// Write writes what there is, once, whatever comes of it.
func (r *Receipts) Write(write func(ids []string) error) error {
	r.due.Stop()
	if len(r.ids) == 0 {
		return nil
	}
	ids := r.ids
	r.ids = nil
	return write(ids)
}
