//go:build !woven

package main

import "example.com/bench/programs/paired"

func cases() []paired.Case { return []paired.Case{without()} }
