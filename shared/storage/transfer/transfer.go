package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// The refusals that a caller may act on.
var (
	ErrInUse      = errors.New("the database is in use: stop its services first")
	ErrNotEmpty   = errors.New("the target is not empty")
	ErrUnfinished = errors.New("the database is the target of a copy that has not finished")
	ErrSchema     = errors.New("the schema does not fit")
	ErrDiffers    = errors.New("source and target differ")
)

// Pair is one service's two databases.
type Pair struct {
	Service  string // one of migrations.Services
	From, To string // data source names
}

// Params are what Copy and Compare work on.
type Params struct {
	Pairs []Pair
	// Tell hears how far the work is, from one goroutine at a time; it may be
	// nil. It holds the work up for as long as it takes.
	Tell func(Progress)
}

// Copy moves the rows of every pair, or goes on where an earlier call with the
// same pairs ended, and compares the sides. With a report of every table it
// returns ErrDiffers when one of them is not equal; the targets then stay
// marked as unfinished. An error that comes before the first row, of all pairs,
// leaves the targets without one.
func Copy(ctx context.Context, p Params) (_ Report, err error) {
	begun := time.Now()
	all, err := openAll(ctx, p)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, all.close()) }()

	if err := all.claimTargets(ctx); err != nil {
		return Report{}, err
	}
	copied := int64(0)
	for _, one := range all {
		rows, err := one.copyTables(ctx)
		if copied += rows; err != nil {
			return Report{}, fmt.Errorf("copy the %s database: %w", one.Service, err)
		}
	}
	report := Report{Copied: copied, CopySeconds: time.Since(begun).Seconds()}
	if err := all.compare(ctx, &report); err != nil {
		return report, err
	}
	return report, all.releaseTargets(ctx)
}

// Compare reads both sides of every pair and changes neither. With the report
// it returns ErrDiffers when a table is not equal.
func Compare(ctx context.Context, p Params) (_ Report, err error) {
	all, err := openAll(ctx, p)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, all.close()) }()
	for _, one := range all {
		if err := one.asSource(ctx, one.to); err != nil {
			return Report{}, err
		}
		if one.tables, err = sameTables(one.from.tables, one.to.tables); err != nil {
			return Report{}, fmt.Errorf("compare the %s databases: %w", one.Service, err)
		}
	}
	var report Report
	return report, all.compare(ctx, &report)
}

// pair is a Pair that is open.
type pair struct {
	Pair
	from, to *database
	tables   []table // what both sides have, those that others refer to first
	tell     func(Progress)
}

type pairs []*pair

// openAll opens every database and sees to it that nobody else uses one. The
// sources are then fit to be read.
func openAll(ctx context.Context, p Params) (all pairs, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, all.close())
			all = nil
		}
	}()
	tell := p.Tell
	if tell == nil {
		tell = func(Progress) {}
	}
	for _, names := range p.Pairs {
		one := &pair{Pair: names, tell: tell}
		all = append(all, one)
		if one.from, err = openExisting(ctx, names.Service, names.From); err != nil {
			return all, fmt.Errorf("open the source of %s: %w", names.Service, err)
		}
		if err := one.asSource(ctx, one.from); err != nil {
			return all, err
		}
	}
	for _, one := range all {
		if one.to, err = open(ctx, one.Service, one.To); err != nil {
			return all, fmt.Errorf("open the target of %s: %w", one.Service, err)
		}
	}
	return all, nil
}

// asSource sees that a database can be read as a whole: finished, of this
// binary's version, and frozen for as long as it is open.
func (p *pair) asSource(ctx context.Context, db *database) error {
	fail := func(err error) error { return fmt.Errorf("%s: %w", db.name, err) }
	if err := db.look(ctx); err != nil {
		return fail(err)
	}
	if db.mark != nil {
		return fail(fmt.Errorf("%w: it holds a part of %s", ErrUnfinished, db.mark.source))
	}
	if err := db.checkVersion(); err != nil {
		return fail(err)
	}
	if err := db.freeze(ctx, db.tables); err != nil {
		return fail(err)
	}
	return nil
}

// claimTargets looks at every target before it changes the first: it migrates
// and marks them only when all are empty, or unfinished copies of their sources.
func (all pairs) claimTargets(ctx context.Context) error {
	compared := false
	for _, one := range all {
		if err := one.to.look(ctx); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
		compared = compared || one.to.mark != nil && one.to.mark.stage == stageCompared
	}
	for _, one := range all {
		if err := one.checkTarget(ctx, compared); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
	}
	for _, one := range all {
		if err := one.claimTarget(ctx); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
	}
	return nil
}

// checkTarget refuses what is not to be written to. When one target's mark says
// that all were compared, those without a mark had theirs taken away by that
// copy already.
func (p *pair) checkTarget(ctx context.Context, compared bool) error {
	to := p.to
	switch {
	case to.version > to.binary:
		return to.checkVersion()
	case to.mark != nil && to.mark.source != p.from.name:
		return fmt.Errorf("%w: it holds a part of %s, and this one is from %s", ErrUnfinished, to.mark.source, p.from.name)
	case to.mark != nil || compared:
		return nil
	}
	for _, t := range to.tables {
		last, err := to.lastKey(ctx, t)
		if err != nil {
			return err
		}
		if last != nil {
			return fmt.Errorf("%w: table %s has rows", ErrNotEmpty, t.name)
		}
	}
	return nil
}

func (p *pair) claimTarget(ctx context.Context) error {
	if p.to.version < p.to.binary {
		if err := p.migrateTarget(ctx); err != nil {
			return err
		}
	}
	var err error
	if p.tables, err = sameTables(p.from.tables, p.to.tables); err != nil {
		return err
	}
	if p.to.mark == nil {
		if err := p.to.setMark(ctx, mark{source: p.from.name, stage: stageCopying}); err != nil {
			return err
		}
	}
	// One that opened the database just before the mark was set is seen now.
	return p.to.alone(ctx)
}

// migrateTarget lets go of the target meanwhile, as SQLite has one user.
func (p *pair) migrateTarget(ctx context.Context) error {
	err := p.to.close()
	p.to = nil
	if err != nil {
		return err
	}
	if _, err := migrate.Up(ctx, migrate.Target{Service: p.Service, DSN: p.To}); err != nil {
		return err
	}
	if p.to, err = open(ctx, p.Service, p.To); err != nil {
		return err
	}
	return p.to.look(ctx)
}

// releaseTargets ends the copy: what is there may be used. The marks say that
// all are equal before the first goes, so that being killed between two does
// not make the databases without one look like somebody's own.
func (all pairs) releaseTargets(ctx context.Context) error {
	for _, one := range all {
		if err := one.to.setMark(ctx, mark{source: one.from.name, stage: stageCompared}); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
	}
	for _, one := range all {
		if err := one.to.loaded(ctx, one.tables); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
	}
	for _, one := range all {
		if err := one.to.removeMark(ctx); err != nil {
			return fmt.Errorf("%s: %w", one.to.name, err)
		}
	}
	return nil
}

func (all pairs) close() error {
	var errs []error
	for _, one := range all {
		for _, db := range []*database{one.from, one.to} {
			if db != nil {
				errs = append(errs, db.close())
			}
		}
	}
	return errors.Join(errs...)
}
