// A web service built with fiber calls itself and prints what it did, one line a request. Woven, each request is one server
// span that is named after the path which fiber matched; what a handler returns as an error is the answer's status.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/valyala/fasthttp"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	app := routes()
	go app.Listener(listener)
	base := "http://" + listener.Addr().String()
	client := &fasthttp.Client{}
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"}, // no such method
		{"GET", "/nowhere"},
		{"GET", "/files/a/b.txt"},
		{"GET", "/api/v1/orders/3/lines/4"},
		{"GET", "/api/v1/nothing"},
		{"GET", "/mounted/things/5"},
		{"GET", "/answered/by/middleware"},
		{"GET", "/first"},
		{"GET", "/teapot"},
		{"GET", "/fails"},
		{"GET", "/panics"},
		{"GET", "/api/v1/stopped"},
		{"GET", "/calls?url=" + base + "/users/8"},
	} {
		ask(client, request[0], base+request[1])
	}
	check(app.Shutdown())
}

func routes() *fiber.App {
	text := func(c *fiber.Ctx) error { return c.SendString("hello") }
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Use(recover.New())
	app.Get("/", text)
	app.Get("/users/:id", text)
	app.Get("/files/*", text)
	app.Use("/answered", text)
	app.Get("/first", func(c *fiber.Ctx) error { return c.Next() })
	app.Get("/:last", func(c *fiber.Ctx) error {
		if c.Params("last") != "first" {
			return c.Next()
		}
		return c.SendString("last")
	})
	app.Get("/teapot", func(c *fiber.Ctx) error { return fiber.NewError(fiber.StatusTeapot, "short and stout") })
	app.Get("/fails", func(c *fiber.Ctx) error { return errors.New("broken") })
	app.Get("/panics", func(c *fiber.Ctx) error { panic("on purpose") })
	app.Get("/calls", func(c *fiber.Ctx) error {
		_, body, err := fasthttp.Get(nil, c.Query("url"))
		check(err)
		return c.Send(body)
	})
	group := app.Group("/api").Group("/v1", stops)
	group.Get("/orders/:order/lines/:line", text)
	group.Get("/stopped", text)
	mounted := fiber.New()
	mounted.Get("/things/:id", text)
	app.Mount("/mounted", mounted)
	return app
}

// stops lets one path not through.
func stops(c *fiber.Ctx) error {
	if c.Path() == "/api/v1/stopped" {
		return fiber.ErrForbidden
	}
	return c.Next()
}

func ask(client *fasthttp.Client, method, address string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod(method)
	request.SetRequestURI(address)
	check(client.Do(request, response))
	fmt.Println(method, string(request.URI().Path()), response.StatusCode())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
