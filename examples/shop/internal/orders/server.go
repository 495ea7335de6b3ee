package orders

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/shop/internal/inventoryapi"
	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/workerapi"
)

// abandonGrace bounds the cleaning up after an order that failed.
const abandonGrace = 5 * time.Second

// Server is the gRPC service.
type Server struct {
	pb.UnimplementedOrdersServer
	store     *Store
	inventory *inventoryapi.Client
	worker    *workerapi.Client
	watchers  *watchers
}

// NewServer returns the service on top of the store and its two neighbours.
func NewServer(store *Store, inventory *inventoryapi.Client, worker *workerapi.Client) *Server {
	return &Server{store: store, inventory: inventory, worker: worker, watchers: newWatchers()}
}

// PlaceOrder reserves the stock, charges the card and queues the invoice.
func (s *Server) PlaceOrder(ctx context.Context, request *pb.PlaceOrderRequest) (*pb.Order, error) {
	if err := validate(request); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	order := &pb.Order{
		Id:       rand.Text(),
		Customer: request.Customer,
		Status:   pb.Status_STATUS_PENDING,
		Lines:    request.Lines,
	}
	if err := s.store.Insert(ctx, order); err != nil {
		return nil, asStatus(err)
	}
	if err := s.fulfil(ctx, order, request.Card); err != nil {
		s.abandon(ctx, order, err)
		return nil, asStatus(err)
	}
	// The order stands even when the worker is busy: its sweep will find it.
	if err := s.worker.Submit(ctx, workerapi.Job{OrderID: order.Id}); err != nil {
		slog.WarnContext(ctx, "invoice not queued", "order", order.Id, "error", err)
	}
	return order, nil
}

func validate(request *pb.PlaceOrderRequest) error {
	if request.Customer == "" || request.Card == "" || len(request.Lines) == 0 {
		return errors.New("customer, card and lines are required")
	}
	seen := map[string]bool{}
	for _, line := range request.Lines {
		if line.Sku == "" || line.Quantity < 1 || seen[line.Sku] {
			return errors.New("each line needs a product of its own and a positive quantity")
		}
		seen[line.Sku] = true
	}
	return nil
}

func (s *Server) fulfil(ctx context.Context, order *pb.Order, card string) error {
	for _, line := range order.Lines {
		reserved, err := s.inventory.Reserve(ctx, line.Sku, inventoryapi.Reservation{
			OrderID:  order.Id,
			Quantity: int64(line.Quantity),
		})
		if err != nil {
			return err
		}
		line.PriceCents = reserved.PriceCents
		order.TotalCents += reserved.PriceCents * int64(line.Quantity)
	}
	if err := charge(card, order.TotalCents); err != nil {
		return err
	}
	if err := s.store.MarkPaid(ctx, order); err != nil {
		return err
	}
	order.Status = pb.Status_STATUS_PAID
	s.watchers.notify(order.Id)
	return nil
}

// abandon gives back what was reserved and notes why the order came to nothing,
// even when the customer has gone meanwhile.
func (s *Server) abandon(ctx context.Context, order *pb.Order, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonGrace)
	defer cancel()
	outcome := pb.Status_STATUS_CANCELLED
	if errors.Is(cause, errDeclined) {
		outcome = pb.Status_STATUS_DECLINED
	}
	slog.WarnContext(ctx, "order abandoned", "order", order.Id, "status", outcome.Word(), "cause", cause)
	err := errors.Join(s.inventory.Release(ctx, order.Id), s.store.SetStatus(ctx, order.Id, outcome))
	if err != nil {
		slog.ErrorContext(ctx, "order not cleaned up", "order", order.Id, "error", err)
	}
	s.watchers.notify(order.Id)
}

// GetOrder returns the order as it is now.
func (s *Server) GetOrder(ctx context.Context, request *pb.GetOrderRequest) (*pb.Order, error) {
	order, err := s.store.Get(ctx, request.Id)
	return order, asStatus(err)
}

// WatchOrder sends the order now and after each change, until it is final.
func (s *Server) WatchOrder(request *pb.WatchOrderRequest, stream pb.Orders_WatchOrderServer) error {
	ctx := stream.Context()
	changed, stop := s.watchers.watch(request.Id)
	defer stop()
	for {
		order, err := s.store.Get(ctx, request.Id)
		if err != nil {
			return asStatus(err)
		}
		if err := stream.Send(order); err != nil {
			return err
		}
		if order.Status.Final() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// RecordInvoice notes where a paid order's invoice lies.
func (s *Server) RecordInvoice(ctx context.Context, request *pb.RecordInvoiceRequest) (*pb.Order, error) {
	recorded, err := s.store.RecordInvoice(ctx, request.Id, request.Invoice)
	if err != nil {
		return nil, asStatus(err)
	}
	order, err := s.store.Get(ctx, request.Id)
	if err != nil {
		return nil, asStatus(err)
	}
	if recorded {
		s.watchers.notify(order.Id)
	} else if order.Status != pb.Status_STATUS_INVOICED {
		return nil, status.Errorf(codes.Aborted, "the order is %s, not paid", order.Status.Word())
	}
	return order, nil
}

// ListUninvoiced names paid orders that have waited too long for an invoice.
func (s *Server) ListUninvoiced(ctx context.Context, request *pb.ListUninvoicedRequest) (*pb.ListUninvoicedResponse, error) {
	age := time.Duration(request.OlderThanSeconds) * time.Second
	ids, err := s.store.Uninvoiced(ctx, time.Now().Add(-age))
	if err != nil {
		return nil, asStatus(err)
	}
	return &pb.ListUninvoicedResponse{Ids: ids}, nil
}

// asStatus gives an error the code that orders.proto promises for it.
func asStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotFound), errors.Is(err, inventoryapi.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, inventoryapi.ErrOutOfStock):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, errDeclined):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
