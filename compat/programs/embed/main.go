// Command embed serves files that the compiler put into it.
package main

import (
	"embed"
	"html/template"
	"log"
	"net/http"
	"os"
)

//go:embed site
var site embed.FS

//go:embed site/style.css
var style string

//tandem:span
func page(w http.ResponseWriter, r *http.Request) {
	template.Must(template.ParseFS(site, "site/*.html")).Execute(w, len(style))
}

func main() {
	http.HandleFunc("/page", page)
	http.Handle("/site/", http.FileServer(http.FS(site)))
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
