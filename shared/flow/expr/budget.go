package expr

// Budget bounds the bytes that references bring in. A definition may refer to
// one large value sixty thousand times; without a bound the sum would be built
// before anyone could see that it is too large. References beyond it are null,
// and Exceeded tells. A nil Budget is without bound.
type Budget struct {
	left int
}

// NewBudget allows so many bytes.
func NewBudget(bytes int) *Budget { return &Budget{left: bytes} }

// Spend takes bytes from the budget; false when they are more than is left.
func (b *Budget) Spend(bytes int) bool {
	if b == nil {
		return true
	}
	b.left -= bytes
	return b.left >= 0
}

// Exceeded reports whether more was asked for than there was.
func (b *Budget) Exceeded() bool { return b != nil && b.left < 0 }
