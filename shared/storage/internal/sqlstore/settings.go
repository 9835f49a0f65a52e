package sqlstore

// PostgresSettings are how a session on Postgres plans this package's
// statements. They read in the order of an index and stop after some rows; a
// bitmap is made of all that match before it gives the first, and has to be
// sorted then. Planned for all values at once, a list of the flow that most of a
// million tasks belong to would be answered so.
func PostgresSettings() map[string]string {
	return map[string]string{"enable_bitmapscan": "off"}
}
