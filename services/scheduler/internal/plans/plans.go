// Package plans gives compiled flow versions. A version never changes, so a
// plan is compiled once and kept until it is the least recently used; only the
// question "which version is the newest" goes to the catalog, for all who ask it
// at the same time.
package plans

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Version is a flow version ready to execute.
type Version struct {
	ID       string
	FlowID   string
	FlowName string
	Number   int
	Status   storage.VersionStatus
	Plan     *flow.Plan
}

// Catalog is what the cache asks.
type Catalog interface {
	GetVersion(ctx context.Context, id string) (catalogapi.Version, error)
	ResolveVersion(ctx context.Context, ref catalogapi.VersionRef) (catalogapi.Version, error)
}

// askTimeout bounds a question to the catalog. Who comes while one is on its way
// waits for it and the next.
const askTimeout = 10 * time.Second

// Cache is safe for concurrent use.
type Cache struct {
	catalog Catalog
	byID    *lru.Cache[string, *Version]
	asking  singleflight.Group
	refs    questions
}

// NewCache makes a cache of up to size plans, at least one.
func NewCache(catalog Catalog, size int) (*Cache, error) {
	byID, err := lru.New[string, *Version](size)
	if err != nil {
		return nil, fmt.Errorf("make plan cache: %w", err)
	}
	c := &Cache{catalog: catalog, byID: byID}
	c.refs = questions{ask: c.resolve, next: map[catalogapi.VersionRef]*answer{}}
	return c, nil
}

// Get returns the version of that id. errs.NotFound when the catalog knows
// none, errs.Unavailable when it cannot be asked.
func (c *Cache) Get(ctx context.Context, versionID string) (*Version, error) {
	if v, ok := c.byID.Get(versionID); ok {
		return v, nil
	}
	// Many tasks may want the same version at once: one asks for all of them,
	// on a time of its own.
	answer := c.asking.DoChan(versionID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		wire, err := c.catalog.GetVersion(ctx, versionID)
		if err != nil {
			return nil, err
		}
		return c.keep(wire)
	})
	var found singleflight.Result
	select {
	case found = <-answer:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if found.Err != nil {
		return nil, found.Err
	}
	return found.Val.(*Version), nil //nolint:forcetypeassert // the closure above returns nothing else
}

// Known returns a version that is in memory.
func (c *Cache) Known(versionID string) (version *Version, known bool) { return c.byID.Get(versionID) }

// Resolve returns the flow's version of that number in whatever status, or
// with 0 its newest published one. Errors as Get's.
func (c *Cache) Resolve(ctx context.Context, flowID string, number int) (*Version, error) {
	return c.refs.get(ctx, catalogapi.VersionRef{FlowID: flowID, Version: number})
}

// ResolveRef returns the version that a subflow node names. Errors as Get's;
// errs.NotFound also for a draft, which starts nothing.
func (c *Cache) ResolveRef(ctx context.Context, ref flow.Ref) (*Version, error) {
	v, err := c.refs.get(ctx, catalogapi.VersionRef{FlowID: ref.ID, Name: ref.Name, Version: ref.Version})
	if err != nil {
		return nil, err
	}
	if v.Status != storage.VersionPublished {
		return nil, errs.New(errs.NotFound, "the flow %q has no published version %d: it is a %s", v.FlowName, v.Number, v.Status)
	}
	return v, nil
}

func (c *Cache) resolve(ctx context.Context, ref catalogapi.VersionRef) (*Version, error) {
	wire, err := c.catalog.ResolveVersion(ctx, ref)
	if err != nil {
		return nil, err
	}
	if v, ok := c.byID.Get(wire.ID); ok {
		return v, nil
	}
	return c.keep(wire)
}

// keep compiles in a goroutine that is nobody's request: a panic over one stored
// definition must not end the process.
func (c *Cache) keep(wire catalogapi.Version) (v *Version, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, errs.Wrap(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), errs.Internal, "flow version %s cannot be compiled", wire.ID)
		}
	}()
	definition, faults := flow.Parse([]byte(wire.DefinitionJSON))
	if len(faults) > 0 {
		return nil, errs.Wrap(errs.Invalid(errs.InvalidFlow, faults), errs.Internal, "flow version %s cannot be read", wire.ID)
	}
	plan, err := flow.Compile(definition)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "flow version %s cannot be compiled", wire.ID)
	}
	v = &Version{
		ID: wire.ID, FlowID: wire.FlowID, FlowName: wire.FlowName, Number: wire.Version,
		Status: storage.VersionStatus(wire.Status), Plan: plan,
	}
	c.byID.Add(v.ID, v)
	return v, nil
}
