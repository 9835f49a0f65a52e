package proxy

import "sync"

// bufferSize is what httputil allocates for each answer without a pool.
const bufferSize = 32 << 10

// buffers lends the buffers that answers are copied with. Without it every
// answer, most of them a few hundred bytes, costs 32 KiB of garbage.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte { return b.pool.Get().(*[bufferSize]byte)[:] }

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }
