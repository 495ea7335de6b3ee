package db

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
)

func readQuery(query string, dialect Dialect) (text, summary, operation, table string) {
	var q reader
	q.read(query, dialect)
	summary = string(q.summary[:q.summarySize])
	return string(q.text[:q.textSize]), summary, q.operation, summary[q.collection[0]:q.collection[1]]
}

// What may be shown of a query.
func TestQueryText(t *testing.T) {
	for _, test := range []struct {
		dialect Dialect
		query   string
		want    string
	}{
		// Numbers.
		{Dialect(0), "SELECT 1, -2, +3.5, .7, -.7, 1e9, 2.5E-3, 0xDEAD, 1_000", "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"},
		{Dialect(0), "SELECT a1, b2c3 FROM t9 WHERE x1=12", "SELECT a1, b2c3 FROM t9 WHERE x1=?"},
		{Dialect(0), "SELECT a-1, (b)-2, $1-3", "SELECT a-?, (b)-?, $1-?"},
		{Dialect(0), "SELECT 12abc", "SELECT ?"},
		{PostgreSQL, "SELECT a[1:2], 10::int", "SELECT a[?:?], ?::int"},
		// Strings.
		{Dialect(0), "SELECT 'it''s', '', N'x', X'00ff', _utf8'ü'", "SELECT ?, ?, ?, ?, ?"},
		{Dialect(0), "SELECT 'a\nb' AS c", "SELECT ? AS c"},
		{Dialect(0), "SELECT 'not closed", "SELECT ?"},
		{Dialect(0), "SELECT DATE'2020-01-01', INTERVAL '1 day'", "SELECT DATE?, INTERVAL ?"},
		{MySQL, `SELECT 'it\'s', "it\"s" FROM t`, "SELECT ?, ? FROM t"},
		{MySQL, `SELECT 'a\\' FROM t`, "SELECT ? FROM t"},
		{PostgreSQL, `SELECT 'a\' FROM t`, "SELECT ? FROM t"},
		{PostgreSQL, `SELECT E'a\'b' FROM "T"`, `SELECT ? FROM "T"`},
		{PostgreSQL, "SELECT $$it's$$, $a$x$$y$a$, $1", "SELECT ?, ?, $1"},
		{PostgreSQL, "SELECT $a$ not closed", "SELECT ?"},
		{Dialect(0), `SELECT 'a\' OR 'secret'`, "SELECT ?"}, // may be escaped or not: the rest goes
		{Oracle, "SELECT q'[it's]', nq'!a'!' FROM dual", "SELECT ?, ? FROM dual"},
		{SQLite, `SELECT "a" FROM "t" WHERE "t"."b" = "c" AND x IN ("d")`, `SELECT "a" FROM "t" WHERE "t"."b" = ? AND x IN (?)`},
		{SQLite, `INSERT INTO "t" ("a", "b") VALUES ("c", 1), ("d", lower("e"))`, `INSERT INTO "t" ("a", "b") VALUES (?, ?), (?, lower(?))`},
		{SQLServer, "SELECT [a 1] FROM [b]", "SELECT [a 1] FROM [b]"},
		{MySQL, "SELECT `a 1` FROM `b``c`", "SELECT `a 1` FROM `b``c`"},
		{Dialect(0), "SELECT TRUE, false, NULL", "SELECT ?, ?, NULL"},
		// Placeholders stay.
		{PostgreSQL, "SELECT $1, $23", "SELECT $1, $23"},
		{SQLite, "SELECT ?, ?2, :a, @b, $c, :3", "SELECT ?, ?2, :a, @b, $c, :3"},
		{PostgreSQL, "SELECT a ? 'k', b::text", "SELECT a ? ?, b::text"},
		// Comments go.
		{Dialect(0), "SELECT a -- secret\nFROM /* secret\n */ t", "SELECT a \nFROM  t"},
		{Dialect(0), "SELECT/* secret */a", "SELECT a"},
		{Dialect(0), "SELECT /* a /* b */ secret */ c", "SELECT  c"},
		{Dialect(0), "/* only", ""},
		{MySQL, "SELECT a # secret\nFROM t", "SELECT a \nFROM t"},
		{PostgreSQL, "SELECT a #>> '{b}'", "SELECT a #>> ?"},
		// Lists are collapsed.
		{Dialect(0), "WHERE a IN (1, 'b' , $3,\n?) AND c IN ( ? )", "WHERE a IN (?) AND c IN (?)"},
		{Dialect(0), "WHERE a IN (SELECT 1)", "WHERE a IN (SELECT ?)"},
		{Dialect(0), "WHERE a in (1, f(2), 3)", "WHERE a in (?, f(?), ?)"},
		{PostgreSQL, "WHERE a IN ($1::uuid, $2::uuid)", "WHERE a IN ($1::uuid, $2::uuid)"},
		// Cassandra's.
		{CQL, "INSERT INTO t (a) VALUES (A23e4567-e89b-12d3-a456-42661417400f) // secret\nUSING TTL 5", "INSERT INTO t (a) VALUES (?) \nUSING TTL ?"},
		{CQL, "SELECT a FROM t WHERE b = 1h30m AND c = {'k': 2} AND d = $$it's$$", "SELECT a FROM t WHERE b = ? AND c = {?: ?} AND d = ?"},
		{Dialect(0), "WHERE a IN (" + strings.Repeat("'abcdef', ", 500) + "1) AND b = 2", "WHERE a IN (?) AND b = ?"},
	} {
		if text, _, _, _ := readQuery(test.query, test.dialect); text != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.query, text, test.want)
		}
	}
}

// What a query does, and to what.
func TestQuerySummary(t *testing.T) {
	for _, test := range []struct {
		query, summary, operation, table string
	}{
		{"SELECT 1", "SELECT", "SELECT", ""},
		{"select * from users where id = 1", "select users", "select", "users"},
		{"SELECT * FROM users u JOIN orders o ON u.id = o.user_id", "SELECT users orders", "SELECT", ""},
		{"SELECT * FROM users a, users b", "SELECT users users", "SELECT", "users"},
		{"SELECT * FROM a AS x, b y, LATERAL c WHERE d IN (1, 2), e", "SELECT a b c", "SELECT", ""},
		{"SELECT a FROM public.users", "SELECT public.users", "SELECT", "public.users"},
		{`SELECT a FROM "public"."users" ORDER BY 1, 2`, "SELECT public.users", "SELECT", "public.users"},
		{"SELECT a FROM dbo . t", "SELECT dbo", "SELECT", "dbo"},
		{"SELECT * FROM (SELECT a FROM t) s, u", "SELECT SELECT t u", "SELECT", ""},
		{"SELECT EXTRACT(YEAR FROM made) FROM t", "SELECT t", "SELECT", "t"},
		{"SELECT a IS DISTINCT FROM b FROM t", "SELECT t", "SELECT", "t"},
		{"SELECT * FROM generate_series(1, 9)", "SELECT", "SELECT", ""},
		{"SELECT * FROM user", "SELECT user", "SELECT", "user"},
		{"SELECT * FROM t FOR UPDATE", "SELECT t", "SELECT", "t"},
		{"SELECT a FROM t UNION SELECT b FROM t", "SELECT t SELECT t", "SELECT", "t"},
		{"WITH x AS (SELECT a FROM t) SELECT * FROM x", "SELECT t SELECT x", "SELECT", ""},
		{"WITH x AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM x", "DELETE t INSERT u SELECT x", "DELETE", ""},
		{"INSERT INTO t (a, b) VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = 2", "INSERT t", "INSERT", "t"},
		{"INSERT OR IGNORE INTO t VALUES (1)", "INSERT t", "INSERT", "t"},
		{"REPLACE INTO t VALUES (1)", "REPLACE t", "REPLACE", "t"},
		{"SELECT REPLACE(a, 'b', 'c') FROM t", "SELECT t", "SELECT", "t"},
		{"INSERT INTO a SELECT b FROM c", "INSERT a SELECT c", "INSERT", ""},
		{"UPDATE ONLY t SET a = 1 FROM u", "UPDATE t u", "UPDATE", ""},
		{"UPDATE OR IGNORE t SET a = 1", "UPDATE t", "UPDATE", "t"},
		{"DELETE FROM t WHERE a = 1", "DELETE t", "DELETE", "t"},
		{"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1", "MERGE t s", "MERGE", ""},
		{"CREATE  TABLE IF NOT EXISTS t (a INT DEFAULT 7)", "CREATE TABLE t", "CREATE", "t"},
		{"CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i", "CREATE", ""},
		{"CREATE OR REPLACE VIEW v AS SELECT a FROM t", "CREATE VIEW v SELECT t", "CREATE", ""},
		{"ALTER TABLE t DROP COLUMN a", "ALTER TABLE t", "ALTER", "t"},
		{"DROP TABLE IF EXISTS t", "DROP TABLE t", "DROP", "t"},
		{"TRUNCATE t", "TRUNCATE t", "TRUNCATE", "t"},
		{"CALL get_customer(1)", "CALL get_customer", "CALL", ""},
		{"EXPLAIN SELECT a FROM t", "EXPLAIN SELECT t", "EXPLAIN", "t"},
		{"PRAGMA journal_mode = wal", "PRAGMA", "PRAGMA", ""},
		{"SET x = 1", "SET", "SET", ""},
		{"BEGIN", "BEGIN", "BEGIN", ""},
		{"INSERT INTO a VALUES (1); DELETE FROM b", "INSERT a DELETE b", "INSERT", ""},
		{"-- note\n  (SELECT a FROM t)", "SELECT t", "SELECT", "t"},
		{"SELECT * FROM ?", "SELECT", "SELECT", ""},
		{"SELECT * FROM @t", "SELECT", "SELECT", ""},
		{"'secret' secret", "", "", ""},
		{"averyveryverylongfirstword", "", "", ""},
		{"", "", "", ""},
	} {
		_, summary, operation, table := readQuery(test.query, PostgreSQL)
		if summary != test.summary || operation != test.operation || table != test.table {
			t.Errorf("%s\n got %q %q %q\nwant %q %q %q", test.query, summary, operation, table, test.summary, test.operation, test.table)
		}
	}
}

// CQL has words of its own.
func TestQuerySummaryCQL(t *testing.T) {
	for _, test := range []struct {
		query, summary, operation, table string
	}{
		{"DELETE FROM t USING TIMESTAMP 1 WHERE a = ?", "DELETE t", "DELETE", "t"},
		{"UPDATE shop.t USING TTL 5 SET a = ? WHERE b = ?", "UPDATE shop.t", "UPDATE", "shop.t"},
		{"CREATE KEYSPACE IF NOT EXISTS shop WITH replication = {'class': 'SimpleStrategy'}", "CREATE KEYSPACE shop", "CREATE", ""},
		{"SELECT a FROM t WHERE b IN (?, ?) ALLOW FILTERING", "SELECT t", "SELECT", "t"},
	} {
		_, summary, operation, table := readQuery(test.query, CQL)
		if summary != test.summary || operation != test.operation || table != test.table {
			t.Errorf("%s\n got %q %q %q\nwant %q %q %q", test.query, summary, operation, table, test.summary, test.operation, test.table)
		}
	}
}

func TestQueryProcedure(t *testing.T) {
	var q reader
	q.read("EXEC dbo.get_customer @id = 1", SQLServer)
	if procedure := string(q.summary[q.procedure[0]:q.procedure[1]]); procedure != "dbo.get_customer" {
		t.Errorf("procedure is %q", procedure)
	}
}

// Limits hold, and what is kept of a long query is its beginning.
func TestQueryLimits(t *testing.T) {
	long := "SELECT " + strings.Repeat("column_name, ", 100) + "x FROM " + strings.Repeat("some_table JOIN ", 100) + "t"
	text, summary, _, table := readQuery(long, PostgreSQL)
	if !strings.HasPrefix(long, text) || len(text) < textLimit-20 {
		t.Errorf("text is %d bytes: %s", len(text), text)
	}
	if len(summary) > summaryLimit || !strings.HasSuffix(summary, " some_table") || table != "" {
		t.Errorf("summary is %d bytes: %s", len(summary), summary)
	}
}

// Queries made of random pieces show their names and never what is in a literal or a comment.
func TestQueryNeverShowsLiterals(t *testing.T) {
	const secret = "s3cr3t" // no name begins with it, no escape turns it into something else
	common := []string{
		"'" + secret + "'", "'a''" + secret + "'", "/* " + secret + " */", "-- " + secret + "\n", "0x" + "5ec12e7", "7" + secret,
		"SELECT ", " FROM t ", ", ", "(", ")", " IN (", " = ", " AND ", ";", ".", " a ", "b.c", " VALUES (", "INSERT INTO t ", "+", "-", "\n", "::", "$1", "?",
		" CREATE TABLE ", " UPDATE ", " ünï ", "N'" + secret + "'", "TRUE",
	}
	own := map[Dialect][]string{
		PostgreSQL: {"E'\\'" + secret + "'", "$$" + secret + "$$", "$x$'" + secret + "$x$", `"q n"`, `'\'`},
		MySQL:      {`'\'` + secret + `'`, `"` + secret + `"`, `"\"` + secret + `"`, "# " + secret + "\n", "`q n`"},
		SQLite:     {`'\'`, "[q n]", "?1", `= "` + secret + `" `},
		SQLServer:  {`'\'`, "[q n]", `"q n"`},
		Oracle:     {"q'[" + secret + "']'", "q'!'" + secret + "!'", ":1"},
		Dialect(0): {`'\'`, `'\\' `, `= "` + secret + `" `},
	}
	random := rand.New(rand.NewSource(1))
	for dialect, more := range own {
		pieces := append(append([]string{}, common...), more...)
		for i := 0; i < 20000; i++ {
			var query strings.Builder
			for n := random.Intn(12); n >= 0; n-- {
				query.WriteString(pieces[random.Intn(len(pieces))])
				query.WriteByte(' ') // else pieces could join to something that is no literal
			}
			text, summary, _, _ := readQuery(query.String(), dialect)
			if strings.Contains(text, secret) || strings.Contains(summary, secret) {
				t.Fatalf("dialect %b\nquery   %s\ntext    %s\nsummary %s", dialect, query.String(), text, summary)
			}
		}
	}
}

// Whatever comes in: no panic, no more than the limits, no byte that was not there.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"SELECT 'a' FROM t", "a IN (1,2)", "$a$b$a$", "q'[x]'", "/*/*", "[", "\"", "..", "1.e-", "@@##", "IN (1, f(", "\\'"} {
		f.Add(seed, uint16(0))
	}
	f.Fuzz(func(t *testing.T, query string, dialect uint16) {
		text, summary, operation, table := readQuery(query, Dialect(dialect))
		if len(text) > textLimit || len(summary) > summaryLimit {
			t.Fatal("too long")
		}
		if !strings.Contains(query, operation) || !strings.Contains(summary, table) {
			t.Fatalf("%q does not come from the query", operation)
		}
		for _, c := range []byte(text) {
			if c != '?' && c != ' ' && strings.IndexByte(query, c) < 0 {
				t.Fatalf("%q is not from the query", c)
			}
		}
	})
}

// What is remembered is what was read, whichever texts share a slot.
func TestRecall(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for i := 0; i < 50000; i++ {
		n := random.Intn(3000)
		query := fmt.Sprintf("SELECT a%d FROM t%d WHERE b = %d", n, n, n)
		known := recall(query, PostgreSQL)
		if known == nil {
			continue
		}
		text, summary, operation, table := readQuery(query, PostgreSQL)
		if known.text != text || known.summary != summary || known.operation != operation || known.table != table {
			t.Fatalf("%s\nis remembered as %+v", query, *known)
		}
	}
	if recall("SELECT 1", PostgreSQL) != nil || recall("SELECT 1", PostgreSQL) == nil {
		t.Error("a text is to be remembered when it comes the second time")
	}
}

func TestQueryAllocatesNothing(t *testing.T) {
	query := "SELECT id, name FROM shop.products WHERE id IN (1, 2, 3) AND name = 'x' -- why\nORDER BY name LIMIT 10"
	if n := testing.AllocsPerRun(100, func() {
		var q reader
		q.read(query, PostgreSQL)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkQuery(b *testing.B) {
	for _, query := range []string{
		"SELECT id, name FROM products WHERE id = $1",
		"SELECT p.id, p.name, s.count FROM shop.products p JOIN stock s ON s.product = p.id WHERE p.id IN ($1, $2, $3) AND p.name = 'x' ORDER BY p.name LIMIT 10",
	} {
		b.Run(fmt.Sprint(len(query)), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				var q reader
				q.read(query, PostgreSQL)
			}
		})
	}
}
