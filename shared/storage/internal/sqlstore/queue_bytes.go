package sqlstore

import (
	"context"
	"encoding/json"
	"math"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Selects jobs without the inputs of more than $1 bytes, for a choice that goes
// by size: neither database reads an input to tell its length.
const selectSizedJobSQL = `SELECT ` + columnsBeforeInput +
	`CASE WHEN octet_length(input) <= $1 THEN input ELSE '' END` + columnsAfterInput + `, octet_length(input) FROM jobs `

const getInputSQL = `SELECT input FROM jobs WHERE id = $1`

// sizedJob is a job whose input may have been left where it is.
type sizedJob struct {
	storage.Job
	size int // of the input, in bytes
}

func scanSizedJob(row Row) (sizedJob, error) {
	var job sizedJob
	err := scanJobInto(row, &job.Job, &job.size)
	return job, err
}

// smallInput is the size up to which each of count inputs is read at once: even
// all of them together stay within maxBytes, which is 0 for no bound. One alone
// is taken whatever its size.
func smallInput(maxBytes, count int) int {
	if maxBytes == 0 || count == 1 {
		return math.MaxInt32
	}
	return maxBytes / count
}

// addInputs adds the statements that read the inputs left behind.
func addInputs(batch *Batch, jobs []storage.Job, sizes map[string]int) {
	for i := range jobs {
		job := &jobs[i]
		if len(job.Input) == sizes[job.ID] {
			continue
		}
		batch.Query(func(row Row) error {
			var input string
			err := row.Scan(&input)
			job.Input = json.RawMessage(input)
			return err
		}, getInputSQL, job.ID)
	}
}

// readInputs reads the inputs left behind.
func readInputs(ctx context.Context, conn Conn, jobs []storage.Job, sizes map[string]int) error {
	var batch Batch
	if addInputs(&batch, jobs, sizes); len(batch.Statements) == 0 {
		return nil
	}
	return conn.Run(ctx, &batch)
}

// fitting is how many of the jobs, in order, have room for their inputs in left
// bytes.
func fitting(jobs []storage.Job, sizes map[string]int, left int) int {
	for n, job := range jobs {
		if left -= sizes[job.ID]; left < 0 {
			return n
		}
	}
	return len(jobs)
}
