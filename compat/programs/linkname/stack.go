package main

import "runtime"

// stack is this goroutine's, whose first line has its number.
func stack() []byte {
	text := make([]byte, 64)
	return text[:runtime.Stack(text, false)]
}
