package gateway

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"example.com/shop/internal/inventoryapi"
)

// productPage is a product, with its price with tax where that is known, and with what
// else customers bought when that was asked for.
type productPage struct {
	inventoryapi.Item
	GrossCents int64               `json:"gross_cents,omitempty"`
	Related    []inventoryapi.Item `json:"related,omitempty"`
}

func (g *gateway) listProducts(c *gin.Context) {
	items, err := g.inventory.Items(c.Request.Context())
	if err != nil {
		fail(c, err)
		return
	}
	c.JSON(http.StatusOK, items)
}

// getProduct answers GET /products/:id, with ?related=N naming up to N others.
func (g *gateway) getProduct(c *gin.Context) {
	related, err := strconv.Atoi(c.DefaultQuery("related", "0"))
	if err != nil || related < 0 || related > 20 {
		refuse(c, "related must be a number from 0 to 20")
		return
	}
	ctx, id := c.Request.Context(), c.Param("id")
	var page productPage
	if page.Item, err = g.inventory.Item(ctx, id); err != nil {
		fail(c, err)
		return
	}
	if g.pricing != nil {
		price, err := g.pricing.Price(ctx, id, page.PriceCents)
		if err != nil {
			fail(c, err)
			return
		}
		page.GrossCents = price.GrossCents
	}
	if related > 0 {
		if page.Related, err = g.inventory.Related(ctx, id, related); err != nil {
			fail(c, err)
			return
		}
	}
	c.JSON(http.StatusOK, page)
}
