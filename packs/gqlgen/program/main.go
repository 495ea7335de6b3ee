// A GraphQL server built with gqlgen calls itself and prints what it did, one line a request. Woven, each query and mutation is
// one server span below that of its HTTP request. What gqlgen would generate from a schema is written by hand.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// schema is what is executed: each field is its own name, and asks another server for it.
type schema struct {
	text  *ast.Schema
	other string
}

func (s *schema) Schema() *ast.Schema { return s.text }

func (s *schema) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (s *schema) Exec(ctx context.Context) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	return func(ctx context.Context) *graphql.Response {
		answer := map[string]string{}
		for _, selection := range operation.Operation.SelectionSet {
			field := selection.(*ast.Field)
			switch field.Name {
			case "fails":
				graphql.AddError(ctx, &gqlerror.Error{Message: "on purpose", Extensions: map[string]any{"code": "NOT_ALLOWED"}})
			case "breaks":
				graphql.AddErrorf(ctx, "broken")
			default:
				answer[field.Name] = s.resolve(ctx)
			}
		}
		data, err := json.Marshal(answer)
		check(err)
		return &graphql.Response{Data: data}
	}
}

// resolve asks from a goroutine of its own, as generated code does.
func (s *schema) resolve(ctx context.Context) string {
	found := make(chan string)
	go func() {
		request, err := http.NewRequestWithContext(ctx, "GET", s.other, nil)
		check(err)
		response, err := http.DefaultClient.Do(request)
		check(err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		check(err)
		found <- string(body)
	}()
	return <-found
}

func main() {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "value") }))
	defer other.Close()
	text := gqlparser.MustLoadSchema(&ast.Source{Input: `
		type Query { name(of: String): String, fails: String, breaks: String }
		type Mutation { rename(to: String): String }`})
	graph := handler.New(&schema{text, other.URL})
	graph.AddTransport(transport.POST{})
	graph.AddTransport(transport.GET{})
	server := httptest.NewServer(graph)
	defer server.Close()

	post(server.URL, `query Named { name(of: "secret") }`)
	post(server.URL, `{ name }`)
	post(server.URL, `mutation Change { rename(to: "other") }`)
	post(server.URL, `query Failing { fails name }`)
	post(server.URL, `{ breaks }`)
	post(server.URL, `{ nothing }`)
	post(server.URL, `{`)
	response, err := http.Get(server.URL + "?query=" + url.QueryEscape("{name}"))
	check(err)
	show("GET", response)
}

func post(address, query string) {
	body, err := json.Marshal(map[string]string{"query": query})
	check(err)
	response, err := http.Post(address, "application/json", bytes.NewReader(body))
	check(err)
	show(query, response)
}

func show(name string, response *http.Response) {
	body, err := io.ReadAll(response.Body)
	check(err)
	response.Body.Close()
	fmt.Println(name, response.StatusCode, string(body))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
