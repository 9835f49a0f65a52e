package transfer

// Report tells what came of a copy or a comparison.
type Report struct {
	// Copied counts the rows that went over in this call; those of an earlier
	// try are not among them.
	Copied      int64   `json:"copied,omitempty"`
	CopySeconds float64 `json:"copy_seconds,omitempty"`
	Tables      []Table `json:"tables"`
}

// Table is one table as it is on both sides.
type Table struct {
	Service string  `json:"service"`
	Table   string  `json:"table"`
	From    Content `json:"from"`
	To      Content `json:"to"`
	Equal   bool    `json:"equal"`
}

// Content sums a table up. SHA256 covers every value of every row, in the order
// of the primary key, and does not depend on the kind of database.
type Content struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"` // hexadecimal
}
