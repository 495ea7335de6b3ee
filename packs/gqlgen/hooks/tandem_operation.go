package executor

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	tandem_rt "tandem/rt"
)

// The span of an operation is current while its fields are resolved, here and by the goroutines that are started for them. Its
// text is not recorded: it holds what callers wrote into it.

var (
	tandemQueryOp    = tandem_rt.NewOp("gqlgen.query", "tandem/github.com/99designs/gqlgen", tandem_rt.KindServer, "query")
	tandemMutationOp = tandem_rt.NewOp("gqlgen.mutation", "tandem/github.com/99designs/gqlgen", tandem_rt.KindServer, "mutation")

	tandemType = tandem_rt.NewKey("graphql.operation.type")
	tandemName = tandem_rt.NewKey("graphql.operation.name")
)

// tandemOperation is an operation that is executed.
type tandemOperation struct {
	span   *tandem_rt.Span
	failed string // error.type
	text   string
	done   bool
}

// tandemStart begins the span of a query or a mutation. A subscription lasts as long as its connection, and has none.
func tandemStart(ctx context.Context, operation *graphql.OperationContext) (started tandemOperation) {
	var op *tandem_rt.Op
	switch operation.Operation.Operation {
	case ast.Query:
		op = tandemQueryOp
	case ast.Mutation:
		op = tandemMutationOp
	default:
		return started
	}
	started.span = tandem_rt.StartServed(op, tandem_rt.FromContext(ctx), operation.Operation.Name)
	started.span.Str(tandemType, string(operation.Operation.Operation))
	if name := operation.Operation.Name; name != "" {
		started.span.Str(tandemName, name)
	}
	return started
}

// answered looks at the operation's answer, which may hold errors beside data.
func (o *tandemOperation) answered(response *graphql.Response) {
	o.done = true
	if response == nil || len(response.Errors) == 0 || o.span == nil {
		return
	}
	first := response.Errors[0]
	o.failed, o.text = "_OTHER", first.Message
	if code, ok := first.Extensions["code"].(string); ok && code != "" {
		o.failed = code
	}
}

// end ends the span.
func (o *tandemOperation) end() {
	switch {
	case o.span == nil:
		return
	case !o.done:
		o.span.SetError("panic", "")
	case o.failed != "":
		o.span.SetError(o.failed, o.text)
	}
	o.span.End()
}
