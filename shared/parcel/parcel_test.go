package parcel_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
)

func TestPack_FillsParcelsInOrder(t *testing.T) {
	t.Parallel()
	const half = parcel.Bytes / 2
	for name, test := range map[string]struct {
		sizes []int
		want  [][]int
	}{
		"nothing":              {nil, nil},
		"all in one":           {[]int{1, 2, 3}, [][]int{{1, 2, 3}}},
		"exactly full":         {[]int{half, half}, [][]int{{half, half}}},
		"one byte over":        {[]int{half, half, 1}, [][]int{{half, half}, {1}}},
		"too large goes alone": {[]int{1, 9 * half, 2, 3}, [][]int{{1}, {9 * half}, {2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, parcel.Pack(test.sizes, func(n int) int { return n }))
		})
	}
}

func TestCallTime_GrowsWithTheBytes(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4*time.Second, parcel.CallTime(100))
	require.Equal(t, 24*time.Second, parcel.CallTime(10<<20))
}

func TestRefused_IsAboutTheContent(t *testing.T) {
	t.Parallel()
	require.True(t, parcel.Refused(fmt.Errorf("put: %w", errs.New(errs.BodyTooLarge, "too large"))))
	require.True(t, parcel.Refused(errs.New(errs.InvalidArgument, "no service")))
	for _, err := range []error{nil, errors.New("reset"), errs.New(errs.Unavailable, "away"), errs.New(errs.Internal, "panic")} {
		require.False(t, parcel.Refused(err), err)
	}
}
