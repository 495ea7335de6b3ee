// Pricing is the service that knows prices with tax. It is outside of cmd, so that
// "tandem go build ./cmd/..." leaves it as it is: some service always is built elsewhere.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"example.com/shop/internal/pricingapi"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
)

func main() {
	flags := service.NewFlags("pricing")
	addr := flags.Env("addr", "SHOP_PRICING_ADDR", "127.0.0.1:8084", "address to listen on")
	tax := flags.Env("tax", "SHOP_TAX_ADDR", "127.0.0.1:8085", "address of the tax service")

	service.Main(flags, func(ctx context.Context) error {
		return web.Serve(ctx, *addr, newHandler(web.NewClient(*tax)))
	})
}

// rate is what the tax service answers.
type rate struct {
	Percent int64 `json:"percent"`
}

// newHandler answers GET /prices/{sku}?net=CENTS.
func newHandler(tax *web.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", web.Health)
	mux.HandleFunc("GET /prices/{sku}", func(w http.ResponseWriter, r *http.Request) {
		sku := r.PathValue("sku")
		net, err := strconv.ParseInt(r.URL.Query().Get("net"), 10, 64)
		if err != nil || net < 0 {
			web.WriteError(w, http.StatusBadRequest, "net must be a number of cents")
			return
		}
		var found rate
		if err := tax.Do(r.Context(), http.MethodGet, "/rates/"+url.PathEscape(sku), nil, &found); err != nil {
			slog.ErrorContext(r.Context(), "request failed", "error", err)
			web.WriteError(w, http.StatusBadGateway, "the tax is not known")
			return
		}
		web.WriteJSON(w, http.StatusOK, pricingapi.Price{SKU: sku, GrossCents: net + net*found.Percent/100})
	})
	return mux
}
