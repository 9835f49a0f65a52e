package runner

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShelf_KeepsWhatFitsAndDropsTheLeastRecent(t *testing.T) {
	t.Parallel()
	s := newShelf[string](3, 100)
	s.put("huge", "H", 101)
	_, found := s.get("huge")
	require.False(t, found)

	s.put("a", "A", 40)
	s.put("b", "B", 40)
	s.put("a", "A2", 50) // its room is not counted twice
	value, _ := s.get("b")
	require.Equal(t, "B", value)
	s.put("c", "C", 20) // over by ten: a was not looked at since
	_, found = s.get("a")
	require.False(t, found)

	value, found = s.take("b")
	require.True(t, found)
	require.Equal(t, "B", value)
	_, found = s.take("b")
	require.False(t, found)
	s.put("d", "D", 80)
	value, _ = s.get("c")
	require.Equal(t, "C", value)

	s.put("e", "E", 0)
	s.put("f", "F", 0) // the fourth entry
	_, found = s.get("d")
	require.False(t, found)
	require.Equal(t, 20, s.bytes)
}
