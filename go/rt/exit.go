//go:build go1.23

package rt

import "internal/runtime/exithook"

// onExit has f called when the program ends by itself: when main returns, or by os.Exit.
func onExit(f func()) { exithook.Add(exithook.Hook{F: f, RunOnFailure: true}) }
