package inventory

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/shop/internal/inventoryapi"
)

// cacheLife is how old the stock may be that customers see. Reserving does not
// trust it: it asks the database.
const cacheLife = 250 * time.Millisecond

// stockCache keeps all items for a moment. It holds its lock while it loads
// them anew, so that everybody waits for one slow query: the shop's example of
// lock contention.
type stockCache struct {
	load func(context.Context) ([]inventoryapi.Item, error)

	mu     sync.Mutex
	items  []inventoryapi.Item // Ordered by SKU, never changed, only replaced.
	loaded time.Time
}

func (c *stockCache) all(ctx context.Context) ([]inventoryapi.Item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.loaded) < cacheLife {
		return c.items, nil
	}
	items, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	c.items, c.loaded = items, time.Now()
	return items, nil
}

func (c *stockCache) one(ctx context.Context, sku string) (inventoryapi.Item, error) {
	items, err := c.all(ctx)
	if err != nil {
		return inventoryapi.Item{}, err
	}
	at, found := slices.BinarySearchFunc(items, sku, func(item inventoryapi.Item, sku string) int {
		return strings.Compare(item.SKU, sku)
	})
	if !found {
		return inventoryapi.Item{}, inventoryapi.ErrNotFound
	}
	return items[at], nil
}
