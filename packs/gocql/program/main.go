// Queries and batches of gocql, on the Cassandra at CASSANDRA_ADDR. Each prints a line; woven, each line is exactly one client
// span (or as many as it says).
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/gocql/gocql"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	fmt.Printf("%-40s %v\n", operation, err)
}

func open(keyspace string) (*gocql.Session, error) {
	cluster := gocql.NewCluster(os.Getenv("CASSANDRA_ADDR"))
	cluster.ProtoVersion = 4
	cluster.Timeout, cluster.ConnectTimeout = time.Minute, time.Minute
	cluster.Consistency = gocql.One
	cluster.Keyspace = keyspace
	cluster.NumConns = 1
	return cluster.CreateSession()
}

// once is a policy that lets a query be asked twice.
type once struct{}

func (once) Attempt(q gocql.RetryableQuery) bool    { return q.Attempts() <= 1 }
func (once) GetRetryType(err error) gocql.RetryType { return gocql.Retry }

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	session, err := open("")
	did("CreateSession, no span", err)
	if err != nil {
		return err
	}
	did("Exec, CREATE KEYSPACE", session.Query("CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}").WithContext(ctx).Exec())
	session.Close()
	session, err = open("shop")
	did("CreateSession with a keyspace, no span", err)
	if err != nil {
		return err
	}
	defer session.Close()
	did("Exec, CREATE TABLE", session.Query("CREATE TABLE products (shelf int, id int, name text, PRIMARY KEY (shelf, id))").WithContext(ctx).Exec())
	did("Exec", session.Query("INSERT INTO products (shelf, id, name) VALUES (1, 1, 'secret lamp')").WithContext(ctx).Exec())
	insert := "INSERT INTO products (shelf, id, name) VALUES (?, ?, ?)"
	for id := 2; id <= 3; id++ {
		did("Exec, prepared", session.Query(insert, 1, id, "secret chair").WithContext(ctx).Consistency(gocql.Quorum).Exec())
	}
	var name string
	did("Scan", session.Query("SELECT name FROM products WHERE shelf = ? AND id = ?", 1, 1).WithContext(ctx).Scan(&name))
	did("Scan, not there", session.Query("SELECT name FROM products WHERE shelf = ? AND id = ?", 1, 99).WithContext(ctx).Scan(&name))
	iter := session.Query("SELECT name FROM products WHERE shelf = ?", 1).WithContext(ctx).PageSize(2).Prefetch(0).Iter()
	rows := 0
	for iter.Scan(&name) {
		rows++
	}
	did(fmt.Sprintf("Iter, %d rows in two pages, two spans", rows), iter.Close())
	applied, err := session.Query("INSERT INTO products (shelf, id, name) VALUES (?, ?, ?) IF NOT EXISTS", 1, 1, "secret").WithContext(ctx).MapScanCAS(map[string]interface{}{})
	did(fmt.Sprint("MapScanCAS ", applied), err)
	did("Exec, speculative", session.Query("SELECT name FROM products WHERE shelf = ?", 1).WithContext(ctx).Idempotent(true).
		SetSpeculativeExecutionPolicy(&gocql.SimpleSpeculativeExecution{NumAttempts: 1, TimeoutDelay: time.Minute}).Exec())
	did("Exec error, asked twice", session.Query("SELECT name FROM nowhere WHERE id = 'secret'").WithContext(ctx).RetryPolicy(once{}).Exec())
	did("Exec error of syntax", session.Query("SELEKT 'secret'").WithContext(ctx).Exec())
	did("Exec error of an argument", session.Query(insert, 1, "secret", "secret").WithContext(ctx).Exec())

	batch := session.NewBatch(gocql.LoggedBatch).WithContext(ctx)
	batch.Query(insert, 2, 1, "secret")
	batch.Query(insert, 2, 2, "secret")
	did("ExecuteBatch", session.ExecuteBatch(batch))
	batch = session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	batch.Query(insert, 2, 3, "secret")
	batch.Query("DELETE FROM products WHERE shelf = 2 AND id = 1")
	did("ExecuteBatch, different", session.ExecuteBatch(batch))
	batch = session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	batch.Query(insert, 2, 3, "secret")
	did("ExecuteBatch of one", session.ExecuteBatch(batch))
	batch = session.NewBatch(gocql.LoggedBatch).WithContext(ctx)
	batch.Query("INSERT INTO nowhere (id) VALUES (?)", 1)
	batch.Query("INSERT INTO nowhere (id) VALUES (?)", 2)
	did("ExecuteBatch error", session.ExecuteBatch(batch))

	ended, stop := context.WithCancel(ctx)
	stop()
	did("Exec cancelled", session.Query("SELECT name FROM products WHERE shelf = 1").WithContext(ended).Exec())
	return nil
}
