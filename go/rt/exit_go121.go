//go:build !go1.23

package rt

import _ "unsafe" // for linkname

// onExit has f called when the program ends by itself: when main returns, or by os.Exit.
func onExit(f func()) { addExitHook(f, true) }

//go:linkname addExitHook runtime.addExitHook
func addExitHook(f func(), runOnNonZeroExit bool)
