package rest

import (
	"context"
	"strconv"
	"strings"

	tandem_failure "tandem/failure"
	tandem_rt "tandem/rt"

	"k8s.io/apimachinery/pkg/api/errors"
)

// This file makes the spans of requests to Kubernetes' API. What is sent for them, tries included, are spans of net/http below.

var tandemRequesting = tandem_rt.NewOp("client-go.request", "tandem/k8s.io/client-go", tandem_rt.KindClient,
	"{k8s.request.verb} {k8s.request.resource}|{k8s.request.verb}")

var (
	tandemVerb        = tandem_rt.NewKey("k8s.request.verb")
	tandemResource    = tandem_rt.NewKey("k8s.request.resource")
	tandemSubresource = tandem_rt.NewKey("k8s.request.subresource")
	tandemNamespace   = tandem_rt.NewKey("k8s.namespace.name")
)

var tandemErrors = tandem_failure.Names{
	{Err: context.Canceled, Name: "context.Canceled"},
	{Err: context.DeadlineExceeded, Name: "context.DeadlineExceeded"},
}

// tandemStart begins a request's span.
func tandemStart(ctx context.Context, r *Request, watch bool) *tandem_rt.Span {
	if r == nil || !tandemRequesting.On() {
		return nil
	}
	span := tandem_rt.Start(tandemRequesting, tandem_rt.FromContext(ctx))
	if span == nil {
		return nil
	}
	about := tandemAboutOf(r)
	span.Str(tandemVerb, about.verb(r.verb, watch))
	if about.resource != "" {
		span.Str(tandemResource, about.resource)
	}
	if !span.Recording() {
		return span
	}
	if about.subresource != "" {
		span.Str(tandemSubresource, about.subresource)
	}
	if about.namespace != "" {
		span.Str(tandemNamespace, about.namespace)
	}
	if r.c != nil && r.c.base != nil && r.c.base.Host != "" {
		span.Str(tandem_rt.KeyServerAddressDimension, r.c.base.Hostname())
		port := int64(443)
		if number := r.c.base.Port(); number != "" {
			port, _ = strconv.ParseInt(number, 10, 32)
		} else if r.c.base.Scheme == "http" {
			port = 80
		}
		span.Int(tandem_rt.KeyServerPortDimension, port)
	}
	return span
}

// tandemAbout is what a request is about.
type tandemAbout struct{ namespace, resource, name, subresource string }

// tandemAboutOf takes it from what the request was told, or, for clients that only say a path, from that.
func tandemAboutOf(r *Request) (about tandemAbout) {
	if r.resource != "" {
		return tandemAbout{r.namespace, r.resource, r.resourceName, r.subresource}
	}
	path := r.pathPrefix
	if r.c != nil && r.c.base != nil {
		path = strings.TrimPrefix(path, strings.TrimSuffix(r.c.base.Path, "/"))
	}
	kind, rest := tandemSegment(path)
	switch kind {
	case "api":
		_, rest = tandemSegment(rest) // the version
	case "apis":
		_, rest = tandemSegment(rest) // the group
		_, rest = tandemSegment(rest)
	default:
		return about
	}
	about.resource, rest = tandemSegment(rest)
	about.name, rest = tandemSegment(rest)
	next, further := tandemSegment(rest)
	if about.resource == "namespaces" && next != "" && next != "status" && next != "finalize" {
		about.namespace, about.resource = about.name, next
		about.name, rest = tandemSegment(further)
		next, _ = tandemSegment(rest)
	}
	about.subresource = next
	return about
}

// tandemSegment takes the first piece off a path.
func tandemSegment(path string) (first, rest string) {
	path = strings.TrimPrefix(path, "/")
	if slash := strings.IndexByte(path, '/'); slash >= 0 {
		return path[:slash], path[slash:]
	}
	return path, ""
}

// verb is the verb as Kubernetes' rules of access call it; what is about no resource has that of HTTP.
func (a *tandemAbout) verb(method string, watch bool) string {
	switch {
	case watch:
		return "watch"
	case a.resource == "":
		return method
	}
	switch method {
	case "GET":
		if a.name != "" {
			return "get"
		}
		return "list"
	case "POST":
		return "create"
	case "PUT":
		return "update"
	case "PATCH":
		return "patch"
	case "DELETE":
		if a.name != "" {
			return "delete"
		}
		return "deletecollection"
	}
	return method
}

// tandemDone ends the span of a request that keeps its error in what it returns.
func tandemDone(span *tandem_rt.Span, result *Result) {
	if span != nil {
		tandemEnd(span, &result.err)
	}
}

// tandemEnd ends the span of a request that returns *result. Errors of the API are named by their reasons.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if err := *result; err != nil {
		tandemFail(span, err)
	}
	span.End()
}

func tandemFail(span *tandem_rt.Span, err error) {
	kind, text := "_OTHER", ""
	defer func() {
		_ = recover() // Error is code of others
		span.SetError(kind, text)
	}()
	text = err.Error()
	if kind = string(errors.ReasonForError(err)); kind == "" {
		kind = tandemErrors.Kind(err)
	}
}
