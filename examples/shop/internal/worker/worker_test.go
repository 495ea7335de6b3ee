package worker

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	pb "example.com/shop/internal/ordersv1"
)

func TestPoolRefusesWhenFullAndFinishesOnClose(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	var done atomic.Int32
	pool := NewPool(1, 1, func(context.Context, string) {
		started <- struct{}{}
		<-release
		done.Add(1)
	})
	if err := pool.Submit(t.Context(), "under way"); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := pool.Submit(t.Context(), "waiting"); err != nil {
		t.Fatal(err)
	}
	if err := pool.Submit(t.Context(), "too many"); err != ErrBusy {
		t.Errorf("Submit to a full pool = %v, want ErrBusy", err)
	}
	close(release)
	go func() { <-started }()
	pool.Close()
	if done.Load() != 2 {
		t.Errorf("%d tasks done, want 2", done.Load())
	}
}

func TestPoolKeepsTheContextsValuesOnly(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	got := make(chan context.Context, 1)
	pool := NewPool(1, 1, func(ctx context.Context, _ string) { got <- ctx })
	if err := pool.Submit(ctx, "order"); err != nil {
		t.Fatal(err)
	}
	cancel()
	pool.Close()
	if task := <-got; task.Err() != nil || task.Value(key{}) != "value" {
		t.Errorf("the task's context: error %v, value %v", task.Err(), task.Value(key{}))
	}
}

func TestInvoiceSaysWhatWasBought(t *testing.T) {
	page, err := renderInvoice(&pb.Order{
		Id:         "O1",
		Customer:   "<Ann>",
		TotalCents: 1805,
		Lines:      []*pb.Line{{Sku: "P102", Quantity: 2, PriceCents: 900}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"O1", "&lt;Ann&gt;", "P102<td>2<td>9.00<td>18.00", "18.05", "data:image/png;base64,"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the invoice lacks %q:\n%s", want, page)
		}
	}
}

func TestWriteDurablyLeavesNothingBehindWhenItFails(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken.html")
	if err := os.MkdirAll(filepath.Join(taken, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeDurably(taken, []byte("page")); err == nil {
		t.Error("a file took the place of a folder")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	path := filepath.Join(dir, "invoice.html")
	if err := writeDurably(path, []byte("page")); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "page" {
		t.Errorf("read back %q, %v", content, err)
	}
}
