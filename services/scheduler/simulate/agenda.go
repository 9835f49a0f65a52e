package simulate

import (
	"container/heap"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
)

// execution is one under way, whose end is known.
type execution struct {
	result  engine.RunResult
	ends    time.Time
	order   int // of the beginning
	aborted bool
}

// at is when it ends; zero when there is no execution.
func (x *execution) at() time.Time {
	if x == nil {
		return time.Time{}
	}
	return x.ends
}

// agenda is a heap of executions, the one that ends first on top.
type agenda []*execution

// first is the execution that ends next, nil when none is under way.
func (a *agenda) first() *execution {
	for len(*a) > 0 {
		if !(*a)[0].aborted {
			return (*a)[0]
		}
		heap.Pop(a)
	}
	return nil
}

func (a agenda) Len() int      { return len(a) }
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

func (a agenda) Less(i, j int) bool {
	if !a[i].ends.Equal(a[j].ends) {
		return a[i].ends.Before(a[j].ends)
	}
	return a[i].order < a[j].order
}

// Push is heap.Interface's.
func (a *agenda) Push(x any) { *a = append(*a, x.(*execution)) }

// Pop is heap.Interface's.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
