package inventory

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"example.com/shop/internal/inventoryapi"
	"example.com/shop/internal/web"
)

const (
	defaultRelated = 3
	maxRelated     = 20
)

type handler struct {
	store *Store
	cache *stockCache
}

// NewHandler returns the HTTP API of the inventory. Faults that were asked for
// come and go until the context ends.
func NewHandler(ctx context.Context, store *Store) http.Handler {
	h := &handler{store: store, cache: &stockCache{load: store.Items}}
	misbehave(ctx, h)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", web.Health)
	mux.HandleFunc("GET /items", h.list)
	mux.HandleFunc("GET /items/{sku}", h.get)
	mux.HandleFunc("GET /items/{sku}/related", h.related)
	mux.HandleFunc("POST /items/{sku}/reserve", h.reserve)
	mux.HandleFunc("DELETE /reservations/{order}", h.release)
	return mux
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	items, err := h.cache.all(r.Context())
	if err != nil {
		fail(r.Context(), w, err)
		return
	}
	web.WriteJSON(w, http.StatusOK, items)
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	item, err := h.cache.one(r.Context(), r.PathValue("sku"))
	if err != nil {
		fail(r.Context(), w, err)
		return
	}
	web.WriteJSON(w, http.StatusOK, item)
}

func (h *handler) related(w http.ResponseWriter, r *http.Request) {
	limit := defaultRelated
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxRelated {
			web.WriteError(w, http.StatusBadRequest, "limit must be a number from 1 to 20")
			return
		}
	}
	items, err := h.store.Related(r.Context(), r.PathValue("sku"), limit)
	if err != nil {
		fail(r.Context(), w, err)
		return
	}
	web.WriteJSON(w, http.StatusOK, items)
}

func (h *handler) reserve(w http.ResponseWriter, r *http.Request) {
	var reservation inventoryapi.Reservation
	if !web.ReadJSON(w, r, &reservation) {
		return
	}
	if reservation.OrderID == "" || reservation.Quantity < 1 {
		web.WriteError(w, http.StatusBadRequest, "order_id and a positive quantity are required")
		return
	}
	sku := r.PathValue("sku")
	price, err := h.store.Reserve(r.Context(), sku, reservation.OrderID, reservation.Quantity)
	if err != nil {
		fail(r.Context(), w, err)
		return
	}
	slog.DebugContext(r.Context(), "reserved", "sku", sku, "order", reservation.OrderID)
	web.WriteJSON(w, http.StatusOK, inventoryapi.Reserved{PriceCents: price})
}

func (h *handler) release(w http.ResponseWriter, r *http.Request) {
	if err := h.store.Release(r.Context(), r.PathValue("order")); err != nil {
		fail(r.Context(), w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func fail(ctx context.Context, w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, inventoryapi.ErrNotFound):
		web.WriteError(w, http.StatusNotFound, err.Error())
	case errors.Is(err, inventoryapi.ErrOutOfStock):
		web.WriteError(w, http.StatusConflict, err.Error())
	default:
		slog.ErrorContext(ctx, "request failed", "error", err)
		web.WriteError(w, http.StatusInternalServerError, "internal error")
	}
}
