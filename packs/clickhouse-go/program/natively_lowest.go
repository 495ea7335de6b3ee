//go:build lowest

package main

import "context"

// natively is nothing that this version has: only its driver for database/sql speaks HTTP.
func natively(context.Context, string) {}
