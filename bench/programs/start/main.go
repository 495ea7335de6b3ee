// Command start does nothing, but could: its parts are those of a server.
package main

import (
	"database/sql"
	"log/slog"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		http.Handle("/", http.NotFoundHandler())
		_, err := sql.Open(os.Args[1], os.Args[1])
		slog.Error("cannot serve", "error", err, "reason", http.ListenAndServe(os.Args[1], nil))
	}
}
