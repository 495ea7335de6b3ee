package pgx

import (
	"context"
	"strings"

	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of a connection's operations. One that reads rows goes on until they are closed: only then the
// server has said all, an error too. Whatever a connection does for itself to serve an operation makes no span; nor does
// what serves an operation of database/sql.

// TandemScope is the scope of pgx's spans, for pgxpool.
const TandemScope = "tandem/github.com/jackc/pgx"

var (
	tandemExec     = db.NewOp("pgx.exec", TandemScope, db.Name)
	tandemQuery    = db.NewOp("pgx.query", TandemScope, db.Name)
	tandemPrepare  = db.NewOp("pgx.prepare", TandemScope, db.Name)
	tandemPing     = db.NewOp("pgx.ping", TandemScope, db.Name)
	tandemBegin    = db.NewOp("pgx.transaction", TandemScope, db.Name)
	tandemCopyFrom = db.NewOp("pgx.copy", TandemScope, db.Name)
)

// TandemErrors names errors, for pgxpool.
var TandemErrors = db.Errors{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
	{Err: ErrTxClosed, Name: "pgx.ErrTxClosed"},
	{Err: ErrTxCommitRollback, Name: "pgx.ErrTxCommitRollback"},
}

// tandemConn is what is kept of a connection. Like the connection, it is one goroutine's at a time.
type tandemConn struct {
	target db.Target
	given  *tandem_rt.Span // begun by the pool, for the operation that comes next
	rows   *tandem_rt.Span // of the query that is being sent, until it has its rows
	busy   int             // operations that are being sent: what is prepared for them makes no span
}

// tandemKnow is called when a connection is there.
func tandemKnow(c *Conn) { TandemTarget(&c.tandem.target, c.config) }

// TandemTarget fills in what a configuration says of a database. Where it names several hosts, nobody knows which it will be.
func TandemTarget(target *db.Target, config *ConnConfig) {
	host, port := config.Host, int64(config.Port)
	for _, other := range config.Fallbacks {
		if other.Host != config.Host || other.Port != config.Port {
			host, port = "", 0
		}
	}
	if strings.HasPrefix(host, "/") {
		port = 0 // a socket
	}
	target.Set("postgresql", config.Database, host, port)
}

// TandemGive hands a span to the operation that comes next on the connection.
func TandemGive(c *Conn, span *tandem_rt.Span) { c.tandem.given = span }

func tandemStart(op *tandem_rt.Op, c *Conn, ctx context.Context, name string) *tandem_rt.Span {
	if !op.On() {
		return nil
	}
	return db.Start(op, tandem_rt.FromContext(ctx), &c.tandem.target, name, "")
}

// tandemStartTx begins the span of a transaction's end. One that is over asks nothing of the database.
func tandemStartTx(name string, tx *dbTx, ctx context.Context) *tandem_rt.Span {
	if tx.closed {
		return nil
	}
	return tandemStart(tandemBegin, tx.conn, ctx, name)
}

func tandemStartQuery(op *tandem_rt.Op, c *Conn, ctx context.Context, sql string) *tandem_rt.Span {
	if !op.On() {
		return nil
	}
	return db.StartQuery(op, tandem_rt.FromContext(ctx), &c.tandem.target, "", tandemText(c, sql))
}

// tandemText returns the query's text where sql is the name of a statement that is prepared.
func tandemText(c *Conn, sql string) string {
	if len(c.preparedStatements) > 0 && strings.IndexByte(sql, ' ') < 0 {
		if known := c.preparedStatements[sql]; known != nil {
			return known.SQL
		}
	}
	return sql
}

func tandemStartPrepare(c *Conn, ctx context.Context, sql string) *tandem_rt.Span {
	if !tandemPrepare.On() || c.tandem.busy > 0 {
		return nil
	}
	return db.StartQuery(tandemPrepare, tandem_rt.FromContext(ctx), &c.tandem.target, "PREPARE", sql)
}

func tandemStartCopy(c *Conn, ctx context.Context, table Identifier) *tandem_rt.Span {
	if !tandemCopyFrom.On() {
		return nil
	}
	return db.StartCopy(tandemCopyFrom, tandem_rt.FromContext(ctx), &c.tandem.target, table)
}

// tandemStartDetached begins the span of an operation that goes on after the call, or takes the one that the pool has begun.
func tandemStartDetached(op *tandem_rt.Op, c *Conn, ctx context.Context) *tandem_rt.Span {
	if span := c.tandem.given; span != nil {
		c.tandem.given = nil
		return span
	}
	if !op.On() {
		return nil
	}
	return db.StartDetached(op, tandem_rt.FromContext(ctx), &c.tandem.target)
}

// tandemStartRows is called when a query is to be sent, tandemSent when that is done.
func tandemStartRows(c *Conn, ctx context.Context, sql string) {
	c.tandem.busy++
	span := tandemStartDetached(tandemQuery, c, ctx)
	if span != nil {
		db.DescribeQuery(span, c.tandem.target.Dialect, tandemText(c, sql))
	}
	c.tandem.rows = span
}

// tandemTake is called when there are rows, those of a batch too: they have the batch's span.
func tandemTake(c *Conn, rows *baseRows) {
	rows.tandemSpan, c.tandem.rows = c.tandem.rows, nil
}

func tandemSent(c *Conn, err *error) {
	c.tandem.busy--
	if span := c.tandem.rows; span != nil { // it came to no rows
		c.tandem.rows = nil
		db.End(span, *err, TandemErrors)
	}
}

func tandemEndRows(rows *baseRows) {
	if span := rows.tandemSpan; span != nil {
		rows.tandemSpan = nil
		db.End(span, rows.err, TandemErrors)
	}
}

func tandemEnd(span *tandem_rt.Span, err *error) {
	if span != nil {
		db.End(span, *err, TandemErrors)
	}
}
