// Package web is the little HTTP that the shop's services share: a server that
// lets its requests finish, and JSON in both directions.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"example.com/shop/internal/service"
)

// ShutdownGrace is how long requests may take to finish after the service was
// told to stop.
const ShutdownGrace = 10 * time.Second

// maxBody bounds what a client can make a service read into memory.
const maxBody = 1 << 20

// Serve answers requests on the address until the context ends, then lets those
// under way finish.
func Serve(ctx context.Context, addr string, handler http.Handler) error {
	listener, err := service.Listen(addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	slog.InfoContext(ctx, "listening", "addr", listener.Addr().String())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), server.Close())
	}
	return nil
}

// Health answers that the service is up.
func Health(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// WriteJSON sends the value with the status.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // The client is gone: nobody to tell.
}

// WriteError sends the message in the form that Client reads back.
func WriteError(w http.ResponseWriter, status int, message string) {
	WriteJSON(w, status, problem{Error: message})
}

// ReadJSON reads the request's body. When it cannot, it answers the request
// itself and returns false.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into); err != nil {
		WriteError(w, http.StatusBadRequest, "the body is not the JSON expected: "+err.Error())
		return false
	}
	return true
}

type problem struct {
	Error string `json:"error"`
}
