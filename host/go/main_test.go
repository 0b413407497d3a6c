// What all tests share: the code of components, which is compiled once for all of them.

package softfuse_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

// code keeps compiled components for tests that hand some in: in the folder that SOFTFUSE_TEST_CODE names, or in one of this run's own.
// With the race detector compiling one takes ten times as long as without, so check.sh has both runs use one folder.
var code softfuse.Option

// patience is the deadline of a component's calls in tests of which no call may come to it: a busy machine stops everything for a while.
const patience = 5 * time.Second

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder := os.Getenv("SOFTFUSE_TEST_CODE")
	if folder == "" {
		made, err := os.MkdirTemp("", "softfuse-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(made) }()
		folder = made
	}
	code = softfuse.WithCacheDir(folder)
	return m.Run()
}
