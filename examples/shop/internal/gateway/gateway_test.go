package gateway

import (
	"errors"
	"maps"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/shop/internal/inventoryapi"
)

func TestErrorsMeanStatusesToCustomers(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{inventoryapi.ErrNotFound, 404},
		{status.Error(codes.NotFound, "no such order"), 404},
		{status.Error(codes.FailedPrecondition, "card declined"), 402},
		{status.Error(codes.ResourceExhausted, "out of stock"), 409},
		{status.Error(codes.Unavailable, "connection refused"), 503},
		{status.Error(codes.Internal, "disk full"), 500},
		{errors.New("connection refused"), 502},
	} {
		if got, _ := meaning(test.err); got != test.want {
			t.Errorf("%v means %d, want %d", test.err, got, test.want)
		}
	}
}

func TestTakingACartEmptiesIt(t *testing.T) {
	carts := newCarts()
	carts.add("ann", map[string]int32{"P100": 1})
	if total := carts.add("ann", map[string]int32{"P100": 2, "P101": 1}); total != 4 {
		t.Errorf("the cart holds %d, want 4", total)
	}
	if got, want := carts.take("ann"), map[string]int32{"P100": 3, "P101": 1}; !maps.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	if got := carts.take("ann"); len(got) != 0 {
		t.Errorf("took %v from an empty cart", got)
	}
}

func TestUntouchedCartsExpire(t *testing.T) {
	carts := newCarts()
	carts.add("ann", map[string]int32{"P100": 1})
	carts.drop(time.Now().Add(-time.Minute))
	if len(carts.byUser) != 1 {
		t.Error("a cart was dropped that had just been touched")
	}
	carts.drop(time.Now().Add(time.Minute))
	if len(carts.byUser) != 0 {
		t.Error("an untouched cart was kept")
	}
}
