// A web service built with echo calls itself and prints what it did, one line a request. Woven, each request is one server
// span that is named after the path which echo matched; what a handler returns as an error is the answer's status.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

func main() {
	base, stop := serve(routes())
	defer stop()
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"}, // no such method
		{"GET", "/nowhere"},
		{"GET", "/files/a/b.txt"},
		{"GET", "/files/"},
		{"GET", "/api/v1/orders/3/lines/4"},
		{"GET", "/slash/"}, // rewritten before it is routed
		{"GET", "/teapot"},
		{"GET", "/fails"},
		{"GET", "/panics"},
		{"GET", "/api/v1/stopped"},
	} {
		ask(request[0], base+request[1])
	}
}

func routes() http.Handler {
	text := func(c echo.Context) error { return c.String(http.StatusOK, "hello") }
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Pre(middleware.RemoveTrailingSlash())
	e.Use(middleware.Recover())
	e.GET("/", text)
	e.GET("/users/:id", text)
	e.GET("/files/*", text)
	e.GET("/slash", text)
	e.GET("/teapot", func(c echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "short and stout") })
	e.GET("/fails", func(c echo.Context) error { return errors.New("broken") })
	e.GET("/panics", func(c echo.Context) error { panic("on purpose") })
	group := e.Group("/api").Group("/v1", stops)
	group.GET("/orders/:order/lines/:line", text)
	group.GET("/stopped", text)
	return e
}

// stops lets one path not through.
func stops(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() == "/api/v1/stopped" {
			return echo.ErrForbidden
		}
		return next(c)
	}
}

// serve serves on a free port until stop, which waits until each request has ended: it does a moment after its answer.
func serve(handler http.Handler) (base string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	return "http://" + listener.Addr().String(), func() { server.Shutdown(context.Background()) }
}

func ask(method, address string) {
	request, err := http.NewRequest(method, address, nil)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
	fmt.Println(method, request.URL.Path, response.StatusCode)
}
