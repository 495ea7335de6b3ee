package gateway

import (
	"context"
	"sync"
	"time"
)

// cartLife is how long an untouched cart is kept.
const cartLife = 30 * time.Minute

// carts holds what each customer is about to buy, in memory.
type carts struct {
	mu     sync.Mutex
	byUser map[string]*cart
}

type cart struct {
	items   map[string]int32 // Quantity by SKU.
	touched time.Time
}

func newCarts() *carts {
	return &carts{byUser: map[string]*cart{}}
}

// add puts items into the customer's cart and returns how many are in it now.
func (c *carts) add(user string, items map[string]int32) (total int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.byUser[user]
	if mine == nil {
		mine = &cart{items: map[string]int32{}}
		c.byUser[user] = mine
	}
	mine.touched = time.Now()
	for sku, quantity := range items {
		mine.items[sku] += quantity
	}
	for _, quantity := range mine.items {
		total += quantity
	}
	return total
}

// take empties the customer's cart and returns what was in it.
func (c *carts) take(user string) map[string]int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.byUser[user]
	if mine == nil {
		return nil
	}
	delete(c.byUser, user)
	return mine.items
}

// expire throws away, once a minute until the context ends, carts that nobody
// touched for long.
func (c *carts) expire(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			c.drop(now.Add(-cartLife))
		case <-ctx.Done():
			return
		}
	}
}

func (c *carts) drop(untouchedSince time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for user, cart := range c.byUser {
		if cart.touched.Before(untouchedSince) {
			delete(c.byUser, user)
		}
	}
}
