package httputil

import (
	"net/http"
	_ "unsafe" // for linkname
)

// tandemDump is net/http's: it marks a Transport that only shows what would be sent.
//
//go:linkname tandemDump
func tandemDump(t *http.Transport)
