package orders

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/shop/internal/inventory"
	"example.com/shop/internal/inventoryapi"
	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/workerapi"
)

// newOrders serves orders with a real inventory and a worker that answers every
// job with the status.
func newOrders(t *testing.T, worker int) (pb.OrdersClient, *inventoryapi.Client) {
	t.Helper()
	stock, err := inventory.OpenStore(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inventoryAddr := serveHTTP(t, inventory.NewHandler(t.Context(), stock))
	workerAddr := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(worker)
	}))
	inventory := inventoryapi.NewClient(inventoryAddr)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterOrdersServer(server, NewServer(store, inventory, workerapi.NewClient(workerAddr)))
	go server.Serve(listener)
	client, conn, err := pb.Dial(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		store.Close()
		stock.Close()
	})
	return client, inventory
}

func serveHTTP(t *testing.T, handler http.Handler) (addr string) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func order(card string, skus ...string) *pb.PlaceOrderRequest {
	request := &pb.PlaceOrderRequest{Customer: "ann", Card: card}
	for _, sku := range skus {
		request.Lines = append(request.Lines, &pb.Line{Sku: sku, Quantity: 2})
	}
	return request
}

func stockOf(t *testing.T, inventory *inventoryapi.Client, sku string) int64 {
	t.Helper()
	time.Sleep(300 * time.Millisecond) // The inventory may show a stock this old.
	item, err := inventory.Item(t.Context(), sku)
	if err != nil {
		t.Fatal(err)
	}
	return item.Stock
}

func TestPaidOrderCostsWhatTheInventorySays(t *testing.T) {
	client, _ := newOrders(t, http.StatusAccepted)
	placed, err := client.PlaceOrder(t.Context(), order("4111", "P100", "P102"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetOrder(t.Context(), &pb.GetOrderRequest{Id: placed.Id})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != pb.Status_STATUS_PAID || got.TotalCents != 2*4900+2*900 || len(got.Lines) != 2 {
		t.Errorf("the order is %v", got)
	}
}

func TestFailedOrderGivesTheStockBack(t *testing.T) {
	client, inventory := newOrders(t, http.StatusAccepted)
	before := stockOf(t, inventory, "P100")
	for _, test := range []struct {
		request *pb.PlaceOrderRequest
		want    codes.Code
	}{
		{order("4110000", "P100"), codes.FailedPrecondition},
		{order("4111", "P100", "P116"), codes.ResourceExhausted},
		{order("4111", "P100", "P999"), codes.NotFound},
		{order("4111", "P100", "P100"), codes.InvalidArgument},
		{order("4111"), codes.InvalidArgument},
	} {
		if _, err := client.PlaceOrder(t.Context(), test.request); status.Code(err) != test.want {
			t.Errorf("%v: %v, want %v", test.request, err, test.want)
		}
	}
	if after := stockOf(t, inventory, "P100"); after != before {
		t.Errorf("%d left after orders that failed, %d before", after, before)
	}
}

func TestBusyWorkerLeavesTheOrderToTheSweep(t *testing.T) {
	client, _ := newOrders(t, http.StatusServiceUnavailable)
	placed, err := client.PlaceOrder(t.Context(), order("4111", "P100"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // Ages count in milliseconds.
	left, err := client.ListUninvoiced(t.Context(), &pb.ListUninvoicedRequest{})
	if err != nil || len(left.Ids) != 1 || left.Ids[0] != placed.Id {
		t.Errorf("uninvoiced: %v, %v; want %s", left, err, placed.Id)
	}
}

func TestWatchEndsWithTheInvoice(t *testing.T) {
	client, _ := newOrders(t, http.StatusAccepted)
	placed, err := client.PlaceOrder(t.Context(), order("4111", "P100"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	changes, err := client.WatchOrder(ctx, &pb.WatchOrderRequest{Id: placed.Id})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []pb.Status{pb.Status_STATUS_PAID, pb.Status_STATUS_INVOICED} {
		seen, err := changes.Recv()
		if err != nil || seen.Status != want {
			t.Fatalf("saw %v, %v; want %v", seen, err, want)
		}
		for range 2 { // The second time changes nothing.
			_, err := client.RecordInvoice(ctx, &pb.RecordInvoiceRequest{Id: placed.Id, Invoice: "i.html"})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := changes.Recv(); err == nil {
		t.Error("the stream goes on after the invoice")
	}
}

func TestUnknownOrders(t *testing.T) {
	client, _ := newOrders(t, http.StatusAccepted)
	if _, err := client.GetOrder(t.Context(), &pb.GetOrderRequest{Id: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("GetOrder = %v, want NotFound", err)
	}
	if _, err := client.RecordInvoice(t.Context(), &pb.RecordInvoiceRequest{Id: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("RecordInvoice = %v, want NotFound", err)
	}
}
