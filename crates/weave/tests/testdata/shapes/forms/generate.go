//go:build ignore

// A program of its own: rules for many functions leave it alone.
package main

import "context"

func main() { _ = f(context.Background()) }

func f(ctx context.Context) error { return nil }
