// Package transfer moves the databases of a stopped suite to other databases,
// from SQLite to Postgres, back, or within one kind, and proves that what has
// arrived is what was there. It knows tables only from the databases' own
// catalogs: a migration that adds one needs no change here.
//
// It refuses databases that are in use, of another schema version than this
// binary's, or, as a target, not empty. It changes nothing at the source.
//
// How a copy survives being killed:
//
//   - Rows go over in the order of their primary keys, in batches that are a
//     transaction each. So the last key at the target is how far it came, and
//     the same call again continues behind it.
//   - Before the first row every target is marked as unfinished, by a table that
//     storage.Base's Ready knows: services do not start on half of the data.
//   - When all rows are there, both sides are read in full and compared, and only
//     if they are equal are the marks taken away. A source that changed between
//     two tries is found out here.
package transfer
