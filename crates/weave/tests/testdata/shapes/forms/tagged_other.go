//go:build !linux

package forms

func Tagged(number int) int { return number }
