//go:build !cgo

package main

func newForeign(folder string) []*wait {
	leaveOut(folder, "C", "built without a C compiler")
	return nil
}
