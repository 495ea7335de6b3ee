// Package database opens the database of a service: SQLite in the data folder,
// or PostgreSQL when a DSN is given. Queries are written for both: parameters
// are $1, $2, … and first appear in that order.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // Driver "pgx".
	_ "modernc.org/sqlite"             // Driver "sqlite".
)

// Writers wait for each other instead of failing: a transaction takes the write
// lock when it begins, and the driver waits up to five seconds for it.
const sqliteOptions = "?_txlock=immediate&_busy_timeout=5000&_journal_mode=WAL&_synchronous=NORMAL"

// Open opens the service's database and brings its tables up to the schema,
// which must be repeatable.
func Open(ctx context.Context, postgresDSN, dataDir, service, schema string) (*sql.DB, error) {
	db, err := connect(postgresDSN, dataDir, service)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("create the tables of %s: %w", service, err), db.Close())
	}
	return db, nil
}

func connect(postgresDSN, dataDir, service string) (*sql.DB, error) {
	if postgresDSN != "" {
		db, err := sql.Open("pgx", postgresDSN)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(16)
		db.SetMaxIdleConns(16)
		return db, nil
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dataDir, service+".db")+sqliteOptions)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	return db, nil
}

// InTx runs do in a transaction: committed when it returns nil, else rolled back.
func InTx(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // Does nothing after the commit.
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
