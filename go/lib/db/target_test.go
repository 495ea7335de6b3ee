package db

import (
	"strings"
	"testing"
)

// What spans say about a database comes from its data source name, and nothing of the password does.
func TestTarget(t *testing.T) {
	for _, test := range []struct {
		driver, dsn, system, namespace, address string
		port                                    int64
	}{
		{"github.com/lib/pq", "postgres://bob:secret@db.example:5433/shop?sslmode=disable", "postgresql", "shop", "db.example", 5433},
		{"github.com/lib/pq", "postgres://bob:se%2Fcret@[::1]:5433/shop", "postgresql", "shop", "::1", 5433},
		{"github.com/lib/pq", "postgres://bob:se/cret@db.example/shop", "postgresql", "", "", 0},
		{"github.com/lib/pq", "postgres://bob:secret@one:1,two:2/shop", "postgresql", "shop", "", 0},
		{"github.com/jackc/pgx/v5/stdlib", "host=db.example port=5433 user=bob password='sec ret' dbname=shop", "postgresql", "shop", "db.example", 5433},
		{"github.com/jackc/pgx/v5/stdlib", "password='a dbname=secret host=secret' dbname=shop", "postgresql", "shop", "", 0},
		{"github.com/jackc/pgx/v5/stdlib", "host=/run/postgresql dbname=shop", "postgresql", "shop", "/run/postgresql", 0},
		{"github.com/jackc/pgx/v5/stdlib", "registeredConnConfig0", "postgresql", "", "", 0},
		{"github.com/go-sql-driver/mysql", "bob:sec/r@t@tcp(db.example:3307)/shop?parseTime=true", "mysql", "shop", "db.example", 3307},
		{"github.com/go-sql-driver/mysql", "bob:secret@unix(/run/mysql.sock)/shop", "mysql", "shop", "/run/mysql.sock", 0},
		{"github.com/go-sql-driver/mysql", "bob:secret@/", "mysql", "", "", 0},
		{"github.com/microsoft/go-mssqldb", "sqlserver://bob:secret@db.example:1434/one?database=shop&x=y", "microsoft.sql_server", "one|shop", "db.example", 1434},
		{"github.com/microsoft/go-mssqldb", "server=db.example;user id=bob;password=secret;port=1434;database=shop", "microsoft.sql_server", "shop", "db.example", 1434},
		{"github.com/sijms/go-ora/v2", "oracle://bob:secret@db.example:1522/shop", "oracle.db", "shop", "db.example", 1522},
		{"github.com/ClickHouse/clickhouse-go/v2", "clickhouse://bob:secret@db.example:9001/shop", "clickhouse", "shop", "db.example", 9001},
		{"modernc.org/sqlite", "file:/var/lib/shop.db?_pragma=key(secret)", "sqlite", "shop.db", "", 0},
		{"github.com/mattn/go-sqlite3", ":memory:", "sqlite", ":memory:", "", 0},
		{"example.com/mine", "mine://bob:secret@db.example:9/shop", "other_sql", "shop", "db.example", 9},
		{"", "", "other_sql", "", "", 0},
	} {
		var s Target
		s.SetDriver(test.driver)
		s.SetSource(test.dsn)
		if s.System != test.system || s.Namespace != test.namespace || s.Address != test.address || s.Port != test.port {
			t.Errorf("%s %s\n got %s %q %q %d\nwant %s %q %q %d", test.driver, test.dsn, s.System, s.Namespace, s.Address, s.Port, test.system, test.namespace, test.address, test.port)
		}
	}
}

// Whatever a data source name looks like, what may be a password stays out.
func FuzzTarget(f *testing.F) {
	for _, dsn := range []string{"postgres://u:p@h:1/d", "u:p@tcp(h:1)/d", "host=h password=p", "server=h;password=p", "//@/", "[:]", "'='"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		for i := range systems {
			s := Target{System: systems[i].name}
			s.SetSource(dsn)
			if !strings.Contains(dsn, s.Address) {
				t.Fatalf("%q is not from the name", s.Address)
			}
		}
	})
}
