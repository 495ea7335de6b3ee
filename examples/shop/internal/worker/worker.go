package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/web"
	"example.com/shop/internal/workerapi"
)

// invoiceTimeout bounds the work on one invoice.
const invoiceTimeout = 10 * time.Second

// Worker makes invoices and tells the orders service of them.
type Worker struct {
	orders pb.OrdersClient
	dir    string
	pool   *Pool
}

// New starts a worker that writes to the folder. Close stops it.
func New(orders pb.OrdersClient, dir string, workers, backlog int) (*Worker, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w := &Worker{orders: orders, dir: dir}
	w.pool = NewPool(workers, backlog, w.handle)
	return w, nil
}

// Close works off what was taken in.
func (w *Worker) Close() {
	w.pool.Close()
}

// Handler returns the HTTP API that takes jobs in.
func (w *Worker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", web.Health)
	mux.HandleFunc("POST /jobs", w.submit)
	return mux
}

func (w *Worker) submit(rw http.ResponseWriter, r *http.Request) {
	var job workerapi.Job
	if !web.ReadJSON(rw, r, &job) {
		return
	}
	if job.OrderID == "" {
		web.WriteError(rw, http.StatusBadRequest, "order_id is required")
		return
	}
	if err := w.journal(job.OrderID); err != nil {
		slog.ErrorContext(r.Context(), "not journalled", "order", job.OrderID, "error", err)
		web.WriteError(rw, http.StatusInternalServerError, "internal error")
		return
	}
	if err := w.pool.Submit(r.Context(), job.OrderID); err != nil {
		web.WriteError(rw, http.StatusServiceUnavailable, err.Error())
		return
	}
	rw.WriteHeader(http.StatusAccepted)
}

func (w *Worker) handle(ctx context.Context, orderID string) {
	ctx, cancel := context.WithTimeout(ctx, invoiceTimeout)
	defer cancel()
	if err := w.makeInvoice(ctx, orderID); err != nil {
		slog.ErrorContext(ctx, "no invoice", "order", orderID, "error", err)
		return
	}
	slog.InfoContext(ctx, "invoiced", "order", orderID)
}

func (w *Worker) makeInvoice(ctx context.Context, orderID string) error {
	order, err := w.orders.GetOrder(ctx, &pb.GetOrderRequest{Id: orderID})
	if err != nil {
		return err
	}
	page, err := renderInvoice(order)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	// The orders service gave the order this id: it is no path.
	path := filepath.Join(w.dir, filepath.Base(order.Id)+".html")
	if err := writeDurably(path, page); err != nil {
		return err
	}
	_, err = w.orders.RecordInvoice(ctx, &pb.RecordInvoiceRequest{Id: orderID, Invoice: path})
	return err
}

// writeDurably makes the file appear whole and on the disk, or not at all.
func writeDurably(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
