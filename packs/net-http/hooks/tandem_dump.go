package httputil

import (
	"net/http"
	_ "unsafe" // for linkname
)

// tandemDump is net/http's: it says of a Transport that it only shows what would be sent.
//
//go:linkname tandemDump
func tandemDump(t *http.Transport, begins bool)
