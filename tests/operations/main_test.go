//go:build unix

package operations

import (
	"os"
	"testing"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

func TestMain(m *testing.M) { os.Exit(suitetest.Main(m)) }
