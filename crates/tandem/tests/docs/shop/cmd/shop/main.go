// Shop is the program that the pages of docs/ talk of: small, plain Go, made of the standard library.
//
// It serves GET /cart, POST /checkout and GET /healthz at $SHOP_ADDR (any free port otherwise), plays its own customers, and ends
// with SIGINT or SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/shop/cart"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("the shop has ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	address := os.Getenv("SHOP_ADDR")
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(cart.Open())}
	go customers(ctx, "http://"+listener.Addr().String())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes(carts *cart.Cart) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/cart", func(w http.ResponseWriter, r *http.Request) {
		price, err := carts.Add(r.Context(), r.URL.Query().Get("product"), 1)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, price)
	})
	mux.HandleFunc("/checkout", func(w http.ResponseWriter, r *http.Request) {
		total := carts.Total(40_000)
		slog.WarnContext(r.Context(), "the card was declined", "total", total)
		http.Error(w, "the card was declined", http.StatusInternalServerError)
	})
	return mux
}

// customers asks for everything, again and again.
func customers(ctx context.Context, shop string) {
	for ctx.Err() == nil {
		for _, path := range []string{"/cart?product=tea", "/cart?product=cup", "/checkout", "/healthz"} {
			if answer, err := http.Get(shop + path); err == nil {
				_ = answer.Body.Close()
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}
