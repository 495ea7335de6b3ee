//go:build !cgo

package forms

func FromC(n int) int { return 2 * n }
