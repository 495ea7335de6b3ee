// Package db holds what packs of databases have in common: which database a client speaks to (target.go), what a query's
// text tells and what may be shown of it (query.go, summary.go, statement.go), the spans of operations (span.go), the names
// of errors (error.go) and what may be shown of their messages (message.go), and the metrics of pools of connections (pool.go),
// all as the semantic conventions for databases want it.
//
// It lives in the shadow GOROOT as tandem/db. It imports nothing that is woven, so that every package can import it, and what
// runs for each operation allocates nothing.
package db
