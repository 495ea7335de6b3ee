package inventory

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/shop/internal/inventoryapi"
)

func newClient(t *testing.T) *inventoryapi.Client {
	t.Helper()
	store, err := OpenStore(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(NewHandler(t.Context(), store))
	t.Cleanup(func() {
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return inventoryapi.NewClient(strings.TrimPrefix(server.URL, "http://"))
}

func TestReserveTakesFromTheStockAndReleaseGivesBack(t *testing.T) {
	client, ctx := newClient(t), t.Context()
	for range 2 {
		reserved, err := client.Reserve(ctx, "P102", inventoryapi.Reservation{OrderID: "o1", Quantity: 3})
		if err != nil || reserved.PriceCents != 900 {
			t.Fatalf("Reserve = %+v, %v; want the price 900", reserved, err)
		}
		if err := client.Release(ctx, "o1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Reserve(ctx, "P102", inventoryapi.Reservation{OrderID: "o2", Quantity: 5}); err != nil {
		t.Fatal(err)
	}
	item, err := client.Item(ctx, "P102")
	if err != nil || item.Stock != plentiful-5 {
		t.Errorf("stock = %d, %v; want 5 less than %d", item.Stock, err, plentiful)
	}
}

func TestReserveRefuses(t *testing.T) {
	client := newClient(t)
	for sku, want := range map[string]error{
		"P116":    inventoryapi.ErrOutOfStock,
		"unknown": inventoryapi.ErrNotFound,
	} {
		_, err := client.Reserve(t.Context(), sku, inventoryapi.Reservation{OrderID: "o1", Quantity: 1})
		if !errors.Is(err, want) {
			t.Errorf("Reserve(%s) = %v, want %v", sku, err, want)
		}
	}
}

func TestRelatedItemsAreOthers(t *testing.T) {
	items, err := newClient(t).Related(t.Context(), "P100", 3)
	if err != nil || len(items) != 3 {
		t.Fatalf("Related = %v, %v; want 3 items", items, err)
	}
	for _, item := range items {
		if item.SKU == "P100" || item.Sold == 0 {
			t.Errorf("%+v is not another product that was sold", item)
		}
	}
}

func TestCacheMakesEverybodyWaitForOneLoad(t *testing.T) {
	loads := 0
	cache := &stockCache{load: func(context.Context) ([]inventoryapi.Item, error) {
		loads++ // Guarded by the cache's lock.
		time.Sleep(10 * time.Millisecond)
		return []inventoryapi.Item{{SKU: "P100"}}, nil
	}}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := cache.one(t.Context(), "P100"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if loads != 1 {
		t.Errorf("%d loads, want 1", loads)
	}
}
