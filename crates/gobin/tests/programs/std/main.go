// What observers look for in the standard library: HTTP server and client, with HTTP/2, and database/sql. Built by tests with
// every Go since 1.18, run only by those that say so.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

type fake struct{}

func (fake) Open(name string) (driver.Conn, error) { return nil, errors.New("no database: " + name) }

func serve(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusTeapot)
	fmt.Fprintln(w, r.URL.Path)
}

func main() {
	sql.Register("fake", fake{})
	database, err := sql.Open("fake", "dsn")
	if err != nil {
		panic(err)
	}
	if _, err := database.QueryContext(context.Background(), "select 1"); err != nil {
		fmt.Println(err)
	}
	if _, err := database.ExecContext(context.Background(), "delete"); err != nil {
		fmt.Println(err)
	}
	transaction, err := database.Begin()
	if err == nil {
		transaction.QueryRow("select 2")
		transaction.Commit()
	}
	http.HandleFunc("/", serve)
	if len(os.Args) > 1 {
		go http.ListenAndServe(os.Args[1], nil)
		http.ListenAndServeTLS(os.Args[2], "cert", "key", nil)
	}
	response, err := http.Get("http://localhost:0/")
	if err == nil {
		io.Copy(io.Discard, response.Body)
	}
	fmt.Println(err)
}
