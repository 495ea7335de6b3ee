// Package fault makes the shop misbehave on purpose, now and then, in the ways
// that real services do: for demonstrations, and for testing what should find
// such faults. Nothing of it runs unless SHOP_FAULT asks for it.
package fault

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"
)

// Variable is the environment variable that names the faults, separated by commas.
const Variable = "SHOP_FAULT"

// Names of the faults.
const (
	Lock      = "lock"       // The inventory's stock is counted with its lock held.
	SlowQuery = "slow-query" // Prices are reviewed in a long transaction: reservations wait for its row locks.
	SlowSync  = "slow-sync"  // The worker synchronises its journal after each line of some jobs.
	GC        = "gc"         // The gateway keeps much, and makes much garbage for some customers.
	Pool      = "pool"       // A report takes all of the inventory's few connections to its database.
)

// A fault that comes and goes does so with this rhythm.
const (
	Every = 2500 * time.Millisecond
	For   = 600 * time.Millisecond
)

// oneIn is how many requests of a kind have one that a fault hits, where it hits requests.
const oneIn = 6

// Enabled says whether the fault was asked for.
func Enabled(name string) bool {
	return slices.Contains(strings.Split(os.Getenv(Variable), ","), name)
}

// NowAndThen calls strike with the fault's rhythm until the context ends. It
// returns at once; without the fault it does nothing.
func NowAndThen(ctx context.Context, name string, strike func(ctx context.Context)) {
	if !Enabled(name) {
		return
	}
	go func() {
		ticker := time.NewTicker(Every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				strike(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Hits says whether the fault hits the request or job of this id: one in six,
// always the same ones.
func Hits(name, id string) bool {
	if !Enabled(name) {
		return false
	}
	sum := uint32(2166136261)
	for _, b := range []byte(id) {
		sum = (sum ^ uint32(b)) * 16777619
	}
	return sum%oneIn == 0
}
