// Package tax holds the tax service, which is a program in Python, for the launcher.
package tax

import _ "embed"

// Source is the program.
//
//go:embed tax.py
var Source string
