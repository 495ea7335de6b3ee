// Package lib is the workspace's other module.
package lib

// Greeting greets.
//
//tandem:span
func Greeting(name string) string { return "hello, " + name }
