// Package sqlstore implements the storage roles over SQL, once for both
// databases. It owns the SQL texts and what they mean; connections,
// transactions and wake-ups belong to the drivers (storage/sqlite,
// storage/postgres), which it reaches through the Driver interface. It knows
// neither database/sql nor pgx.
//
// How role code is written here:
//
//   - A statement is one constant text with $1 placeholders that both databases
//     take; where they truly differ the difference is a field of Dialect.
//   - Statements that do not depend on each other's results go into one Batch:
//     on Postgres that is one round trip, on SQLite a loop over prepared
//     statements.
//   - A Write closure runs again after a deadlock or serialization failure, so
//     it computes its results afresh and touches nothing but its transaction.
//   - Rows that other transactions lock as well are locked in order of their
//     key, so that two batches never wait for each other.
package sqlstore
