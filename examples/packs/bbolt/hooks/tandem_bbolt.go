package bbolt

import (
	"strings"

	tandem_rt "tandem/rt"
)

// One span for each transaction that goes through Update, Batch or View. bbolt's functions take no context, so the span belongs
// to what the goroutine is doing.

const tandemScope = "tandem/go.etcd.io/bbolt"

var (
	tandemUpdateOp = tandem_rt.NewOp("bbolt.update", tandemScope, tandem_rt.KindInternal, "{db.operation.name} {db.namespace}")
	tandemBatchOp  = tandem_rt.NewOp("bbolt.batch", tandemScope, tandem_rt.KindInternal, "{db.operation.name} {db.namespace}")
	tandemViewOp   = tandem_rt.NewOp("bbolt.view", tandemScope, tandem_rt.KindInternal, "{db.operation.name} {db.namespace}").OffByDefault()
)

func tandemUpdate(db *DB) *tandem_rt.Span { return tandemStart(tandemUpdateOp, db, "UPDATE") }
func tandemBatch(db *DB) *tandem_rt.Span  { return tandemStart(tandemBatchOp, db, "BATCH") }
func tandemView(db *DB) *tandem_rt.Span   { return tandemStart(tandemViewOp, db, "VIEW") }

// tandemStart begins the span of a transaction. The database is called by its file's name: where that lies is nobody's business.
func tandemStart(op *tandem_rt.Op, db *DB, operation string) *tandem_rt.Span {
	span := tandem_rt.StartFunc(op, nil)
	if span == nil {
		return nil
	}
	span.Str(tandem_rt.KeyDBSystemName, "bbolt")
	span.Str(tandem_rt.KeyDBOperationName, operation)
	span.Str(tandem_rt.KeyDBNamespaceDimension, db.path[strings.LastIndexByte(db.path, '/')+1:])
	return span
}

// tandemEnd ends it, with the error that the transaction was rolled back for.
func tandemEnd(span *tandem_rt.Span, err *error) { span.EndFunc(err) }
