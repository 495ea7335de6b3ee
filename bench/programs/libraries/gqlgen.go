package main

import (
	"context"
	"net"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// The figures have the span of net/http's server in them; by hand that is all.
func init() {
	more = append(more, func(with instruments) call {
		schema := gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { message: String }`})
		server := handler.New(executable{schema})
		server.AddTransport(transport.POST{})
		server.SetQueryCache(lru.New[*ast.QueryDocument](10))
		handler := with.handler(server)
		served := repeated(posted("/query", "application/json", `{"query":"query Hello { message }"}`),
			func(listener net.Listener) error { return http.Serve(listener, handler) })
		return call{name: "gqlgen", count: 500, spans: with.spans(2, 1), do: served}
	})
}

// executable is what gqlgen would generate: it answers each query alike.
type executable struct{ schema *ast.Schema }

func (e executable) Schema() *ast.Schema { return e.schema }

func (executable) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (executable) Exec(context.Context) graphql.ResponseHandler {
	return func(context.Context) *graphql.Response {
		return &graphql.Response{Data: []byte(`{"message":"hello, world"}`)}
	}
}
