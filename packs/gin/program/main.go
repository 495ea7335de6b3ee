// A web service built with gin calls itself and prints what it did, one line a request. Woven, each request is one server
// span that is named after the route which gin matched.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(func(c *gin.Context) {
		if c.GetHeader("X-Stop") != "" {
			c.AbortWithStatus(http.StatusForbidden)
		}
	})
	engine.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "root") })
	engine.GET("/users/:id", func(c *gin.Context) { c.String(http.StatusOK, c.Param("id")) })
	engine.GET("/files/*path", func(c *gin.Context) { c.String(http.StatusOK, c.Param("path")) })
	engine.POST("/fail", func(c *gin.Context) { c.Status(http.StatusInternalServerError) })
	group := engine.Group("/api/v1")
	group.GET("/orders/:order/lines/:line", func(c *gin.Context) { c.JSON(http.StatusOK, c.Params) })
	engine.GET("/old/:id", func(c *gin.Context) {
		c.Request.URL.Path = "/users/" + c.Param("id")
		engine.HandleContext(c)
	})
	engine.NoRoute(func(c *gin.Context) { c.String(http.StatusNotFound, "nothing here") })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: engine}
	go server.Serve(listener)
	defer server.Shutdown(context.Background()) // a request ends a moment after its answer

	for _, request := range []struct{ method, path, stop string }{
		{"GET", "/", ""},
		{"GET", "/users/7", ""},
		{"GET", "/users/8", "yes"},
		{"GET", "/files/a/b.txt", ""},
		{"POST", "/fail", ""},
		{"GET", "/api/v1/orders/3/lines/4", ""},
		{"GET", "/old/9", ""},
		{"GET", "/nowhere", ""},
		{"DELETE", "/users/7", ""},
	} {
		r, err := http.NewRequest(request.method, "http://"+listener.Addr().String()+request.path, nil)
		if err != nil {
			log.Fatal(err)
		}
		if request.stop != "" {
			r.Header.Set("X-Stop", request.stop)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
		fmt.Println(request.method, request.path, response.StatusCode)
	}
}
