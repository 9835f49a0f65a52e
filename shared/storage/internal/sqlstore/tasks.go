package sqlstore

// Tasks implements storage.Tasks.
type Tasks struct {
	*DB
}

// NewTasks makes the scheduler's role of its database.
func NewTasks(db *DB) *Tasks {
	return &Tasks{DB: db}
}
