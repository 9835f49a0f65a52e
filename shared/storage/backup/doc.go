// Package backup copies the SQLite databases of a suite while it serves, as they
// all were at one moment. It owns when the copies are taken and how they come to
// be a whole directory or none; Postgres has programs of its own for that.
//
// One moment for all is what makes the copies a suite. Services tell each other
// what they have committed, until the other has committed that it has heard: the
// scheduler has forgotten a job that the queue-gateway took, and the
// queue-gateway a result that the scheduler took. Of copies of different moments
// one may have forgotten what the other has not heard, and a task then waits for
// ever. Copies of one moment are what a power cut leaves, and each service
// is made to go on from that.
package backup
