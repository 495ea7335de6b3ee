//go:build !amd64

package calls

func Assembled(a, b int) int { return a + b }
