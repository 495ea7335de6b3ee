// Package cart keeps what customers want to buy.
package cart

import (
	"context"
	"database/sql"
	"hash/fnv"
	"sync"
)

// Cart is one cart for all customers.
type Cart struct {
	mutex    sync.Mutex
	products []string
	prices   *sql.DB
}

// Open makes an empty cart.
func Open() *Cart {
	return &Cart{prices: sql.OpenDB(prices{})}
}

// Add puts a product into the cart and says its price.
func (c *Cart) Add(ctx context.Context, product string, count int) (price int64, err error) {
	row := c.prices.QueryRowContext(ctx, "SELECT price FROM products WHERE name = ?", product)
	if err := row.Scan(&price); err != nil {
		return 0, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for range make([]struct{}, count) {
		c.products = append(c.products, product)
	}
	if len(c.products) > 1000 {
		c.products = nil
	}
	return price, nil
}

// Total computes for a while.
func (c *Cart) Total(rounds int) uint64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	sum := fnv.New64a()
	for i := 0; i < rounds; i++ {
		_, _ = sum.Write([]byte{byte(i)})
	}
	return sum.Sum64()
}
