// Package load plays customers of the shop and counts what they got. What they
// ask for depends on the seed alone, never on timing.
package load

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
)

// step is one request of a customer.
type step struct {
	method string
	route  string // As the gateway names it.
	path   string // orderID in it stands for the order that was placed last.
	body   any
	want   int // The only status that is expected.
}

// orderID is a placeholder in a step's path.
const orderID = "{order}"

const (
	goodCard     = "4111111111111111"
	declinedCard = "4111111111110000"
)

// What the inventory sells; soldOut it lists but never has.
const (
	firstProduct = 100
	products     = 16
	soldOut      = "P116"
)

// planner makes up one customer after the other.
type planner struct {
	random    *rand.Rand
	seed      uint64
	customers int
}

func newPlanner(seed uint64) *planner {
	return &planner{random: rand.New(rand.NewPCG(seed, 0)), seed: seed}
}

// next returns all that the next customer does, in order.
func (p *planner) next() []step {
	p.customers++
	user := fmt.Sprintf("customer-%d-%d", p.seed, p.customers)
	switch dice := p.random.IntN(100); {
	case dice < 50:
		return p.browse()
	case dice < 92:
		return slices.Concat(p.browse(), p.fillCart(user), p.pay(user))
	case dice < 97:
		return slices.Concat(p.fillCart(user), declined(user), p.pay(user))
	default:
		return slices.Concat(addToCart(user, soldOut, 1), []step{checkout(user, goodCard, http.StatusConflict)})
	}
}

func (p *planner) browse() []step {
	steps := []step{{method: http.MethodGet, route: "/products", path: "/products", want: http.StatusOK}}
	for range 1 + p.random.IntN(3) {
		switch dice := p.random.IntN(100); {
		case dice < 3:
			steps = append(steps, productPage("P999", http.StatusNotFound))
		case dice < 13:
			steps = append(steps, productPage(p.product()+"?related=3", http.StatusOK))
		default:
			steps = append(steps, productPage(p.product(), http.StatusOK))
		}
	}
	return steps
}

func (p *planner) product() string {
	return fmt.Sprintf("P%d", firstProduct+p.random.IntN(products))
}

func (p *planner) fillCart(user string) []step {
	var steps []step
	for range 1 + p.random.IntN(3) {
		steps = append(steps, addToCart(user, p.product(), 1+p.random.IntN(4))...)
	}
	return steps
}

// pay checks out, waits for the invoice and, sometimes, looks at the order again.
func (p *planner) pay(user string) []step {
	order := step{method: http.MethodGet, route: "/orders/:id", want: http.StatusOK}
	waiting, looking := order, order
	waiting.path, looking.path = "/orders/"+orderID+"?wait=2s", "/orders/"+orderID
	steps := []step{checkout(user, goodCard, http.StatusCreated), waiting}
	if p.random.IntN(4) == 0 {
		steps = append(steps, looking)
	}
	return steps
}

func declined(user string) []step {
	return []step{checkout(user, declinedCard, http.StatusPaymentRequired)}
}

func productPage(path string, want int) step {
	return step{method: http.MethodGet, route: "/products/:id", path: "/products/" + path, want: want}
}

func addToCart(user, sku string, quantity int) []step {
	return []step{{
		method: http.MethodPost,
		route:  "/cart/:user/items",
		path:   "/cart/" + user + "/items",
		body:   map[string]any{"sku": sku, "quantity": quantity},
		want:   http.StatusCreated,
	}}
}

func checkout(user, card string, want int) step {
	return step{
		method: http.MethodPost,
		route:  "/checkout",
		path:   "/checkout",
		body:   map[string]string{"user": user, "card": card},
		want:   want,
	}
}
