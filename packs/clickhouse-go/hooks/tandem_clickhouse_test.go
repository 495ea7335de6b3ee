package clickhouse

import (
	"context"
	"errors"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	tandem_rt "tandem/rt"
)

// The hooks of queries, statements and batches cost no allocation.
func TestTandemAllocations(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	ch := &clickhouse{opt: &Options{Addr: []string{"db.example:9000"}, Auth: Auth{Database: "shop"}}}
	var made driver.Conn = ch
	tandemOpened(&made, nil)
	if ch.tandem.Address != "db.example" || ch.tandem.Port != 9000 || ch.tandem.Namespace != "shop" {
		t.Errorf("%+v", ch.tandem)
	}
	ctx := context.Background()
	var none error
	var one driver.Row = &row{}
	batch := tandemBatch{&ch.tandem, "INSERT INTO products (name)"}
	if n := testing.AllocsPerRun(100, func() {
		tandemEnd(tandemStart(tandemExec, ch, ctx, "SELECT name FROM products WHERE id = 1"), &none)
		tandemEndRow(tandemStart(tandemQuery, ch, ctx, "SELECT name FROM products WHERE id = 1"), &one)
		tandemEnd(batch.send(ctx), &none)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever happened, nothing stays current.
func TestTandemEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	ch := new(clickhouse)
	for _, err := range []error{nil, errors.New("no"), context.Canceled, &Exception{Code: 60}} {
		tandemEnd(tandemStart(tandemExec, ch, nil, "SELECT 1"), &err)
		var batch driver.Batch
		tandemPrepared(tandemPrepare(ch, context.Background(), "INSERT INTO a"), ch, "INSERT INTO a", &batch, &err)
		var none driver.Row
		tandemEndRow(tandemStart(tandemQuery, ch, nil, "SELECT 1"), &none)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}
