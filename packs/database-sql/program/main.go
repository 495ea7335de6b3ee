// Every operation of database/sql once for each driver: on an SQLite database in memory, on PostgreSQL by two drivers when
// POSTGRES_DSN is set, on MariaDB when MYSQL_DSN is. Each prints a line; woven, each line is exactly one client span (or none,
// where it says so).
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
)

func main() {
	postgres, mysql := os.Getenv("POSTGRES_DSN"), os.Getenv("MYSQL_DSN")
	for _, each := range []struct{ driver, dsn, placeholder, broken string }{
		{"sqlite", "file:shop?mode=memory&cache=shared", "?", "SELECT 'secret' 'secret' 1"},
		{"pgx", postgres, "$1", "SELECT CAST('secret' AS INTEGER)"},
		{"postgres", postgres, "$1", "SELECT CAST('secret' AS INTEGER)"},
		{"mysql", mysql, "?", "INSERT INTO products (id, name) VALUES ('secret', 'lamp')"},
	} {
		if each.dsn == "" {
			continue
		}
		if err := exercise(each.driver, each.dsn, each.placeholder, each.broken); err != nil {
			log.Fatal(each.driver, ": ", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := bySqlx(ctx); err != nil {
		log.Fatal("sqlx: ", err)
	}
	if postgres != "" {
		if err := byGorm(ctx, postgres); err != nil {
			log.Fatal("gorm: ", err)
		}
	}
}

func did(operation string, err error) {
	fmt.Printf("%-28s %v\n", operation, err)
}

func exercise(driver, dsn, placeholder, broken string) error {
	fmt.Println("-- " + driver)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetConnMaxIdleTime(time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	did("DB.Ping", db.Ping())
	_, err = db.Exec("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
	did("DB.Exec", err)
	_, err = db.ExecContext(ctx, "INSERT INTO products (id, name, price) VALUES (1, 'secret lamp', 1200), (2, 'chair', 4900)")
	did("DB.ExecContext", err)
	rows, err := db.Query("SELECT id, name FROM products WHERE price > 1000 -- the dear ones\nORDER BY id")
	did("DB.Query", drain(rows, err))
	rows, err = db.QueryContext(ctx, "SELECT id FROM products WHERE id IN (1, 2, 3)")
	did("DB.QueryContext", drain(rows, err))
	var name string
	did("DB.QueryRow", db.QueryRow("SELECT name FROM products WHERE id = "+placeholder, 1).Scan(&name))
	did("DB.QueryRow no rows", db.QueryRowContext(ctx, "SELECT name FROM products WHERE id = "+placeholder, 99).Scan(&name))
	_, err = db.Exec("INSERT INTO nowhere VALUES (1)")
	did("DB.Exec error", err)
	rows, err = db.Query(broken)
	did("DB.Query error", drain(rows, err))

	statement, err := db.Prepare("UPDATE products SET price = price + 1 WHERE id = " + placeholder)
	did("DB.Prepare", err)
	if err != nil {
		return err
	}
	_, err = statement.Exec(1)
	did("Stmt.Exec", err)
	_, err = statement.ExecContext(ctx, 2)
	did("Stmt.ExecContext", err)
	did("Stmt.Close, no span", statement.Close())
	statement, err = db.PrepareContext(ctx, "SELECT name FROM products WHERE id = "+placeholder)
	did("DB.PrepareContext", err)
	if err != nil {
		return err
	}
	rows, err = statement.Query(1)
	did("Stmt.Query", drain(rows, err))
	did("Stmt.QueryRow", statement.QueryRowContext(ctx, 2).Scan(&name))
	did("Stmt.Close, no span", statement.Close())

	tx, err := db.Begin()
	did("DB.Begin", err)
	if err != nil {
		return err
	}
	_, err = tx.Exec("DELETE FROM products WHERE id = 2")
	did("Tx.Exec", err)
	rows, err = tx.QueryContext(ctx, "SELECT p.id FROM products p JOIN products q ON q.id = p.id")
	did("Tx.QueryContext", drain(rows, err))
	did("Tx.Commit", tx.Commit())
	did("Tx.Rollback after, no span", tx.Rollback())

	tx, err = db.BeginTx(ctx, nil)
	did("DB.BeginTx", err)
	if err != nil {
		return err
	}
	did("Tx.QueryRow", tx.QueryRow("SELECT name FROM products WHERE id = 1").Scan(&name))
	statement, err = tx.Prepare("SELECT 1")
	did("Tx.Prepare", err)
	did("Tx.Rollback", tx.Rollback())

	if driver != "postgres" { // lib/pq closes the connection at the same moment: which comes first is chance
		cancelled(ctx, db)
	}

	connection, err := db.Conn(ctx)
	did("DB.Conn, no span", err)
	if err != nil {
		return err
	}
	did("Conn.PingContext", connection.PingContext(ctx))
	_, err = connection.ExecContext(ctx, "UPDATE products SET name = 'secret'")
	did("Conn.ExecContext", err)
	did("Conn.QueryRowContext", connection.QueryRowContext(ctx, "SELECT name FROM products").Scan(&name))
	statement, err = connection.PrepareContext(ctx, "SELECT 2")
	did("Conn.PrepareContext", err)
	if err == nil {
		statement.Close()
	}
	tx, err = connection.BeginTx(ctx, nil)
	did("Conn.BeginTx", err)
	if err == nil {
		did("Tx.Rollback", tx.Rollback())
	}
	did("Conn.Close, no span", connection.Close())

	did("DB.SetMaxOpenConns, two spans", pool(ctx, db))

	_, err = db.Exec("DROP TABLE products")
	did("DB.Exec", err)
	done, stop := context.WithCancel(ctx)
	stop()
	_, err = db.ExecContext(done, "SELECT 3")
	did("DB.ExecContext cancelled", err)
	return nil
}

// cancelled ends a transaction's context: the pool rolls back by itself, one span that this program did not ask for.
func cancelled(ctx context.Context, db *sql.DB) {
	short, stop := context.WithCancel(ctx)
	tx, err := db.BeginTx(short, nil)
	did("DB.BeginTx", err)
	stop()
	for tx != nil && !errors.Is(tx.Commit(), sql.ErrTxDone) {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("cancelled: one ROLLBACK")
}

// pool asks for a connection while the only one is taken: the operation waits for it, inside its span. One that waits in
// vain has asked nothing of the database, and is an error all the same.
func pool(ctx context.Context, db *sql.DB) error {
	db.SetMaxOpenConns(1)
	defer db.SetMaxOpenConns(0)
	taken, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	if _, err = db.ExecContext(short, "SELECT 4"); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("did not wait: %w", err)
	}
	waited := db.Stats().WaitCount
	done := make(chan error)
	go func() {
		_, err := db.ExecContext(ctx, "DELETE FROM products WHERE id = 3")
		done <- err
	}()
	for db.Stats().WaitCount == waited {
		time.Sleep(time.Millisecond)
	}
	return errors.Join(taken.Close(), <-done)
}

func drain(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}
