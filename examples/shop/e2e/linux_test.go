package e2e

import (
	"os"
	"testing"
)

// Only Linux can stop the services of a launcher that had no chance to.
func TestKilledLauncherLeavesNoOrphans(t *testing.T) {
	shop, announced := start(t)
	if err := shop.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	shop.Wait()
	awaitEnd(t, announced.Pids)
	if err := os.RemoveAll(announced.DataDir); err != nil {
		t.Error(err)
	}
}
