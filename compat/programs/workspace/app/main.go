// Command app serves with gin what the workspace's other module says.
package main

import (
	"log"
	"net/http"
	"os"

	"example.com/compat/lib"
	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/greet/:name", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"greeting": lib.Greeting(c.Param("name")), "route": c.FullPath()})
	})
	log.Fatal(router.Run(os.Args[1]))
}
