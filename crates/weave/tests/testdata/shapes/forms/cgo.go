//go:build cgo

package forms

/*
static int twice(int n) { return 2 * n; }
*/
import "C"

func FromC(n int) int { return int(C.twice(C.int(n))) }
