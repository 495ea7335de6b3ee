package internal

import (
	"errors"
	"strings"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file says what all spans have in common. Their names are those of Temporal's own tracing.

const (
	tandemScope  = "tandem/go.temporal.io/sdk"
	tandemSystem = "temporal"
	tandemName   = "{messaging.operation.name}:{temporal.type}|{messaging.operation.name}"
)

var (
	tandemType       = tandem_rt.NewKey("temporal.type") // of the workflow or activity; of a message its name
	tandemWorkflowID = tandem_rt.NewKey("temporal.workflow.id")
	tandemRunID      = tandem_rt.NewKey("temporal.run.id")
	tandemActivityID = tandem_rt.NewKey("temporal.activity.id")
	tandemUpdateID   = tandem_rt.NewKey("temporal.update.id")
	tandemAttempt    = tandem_rt.NewKey("temporal.attempt")
	tandemContinued  = tandem_rt.NewKey("temporal.continued_as_new")
)

// tandemSay adds what is not empty.
func tandemSay(span *tandem_rt.Span, key tandem_rt.Key, value string) {
	if value != "" {
		span.Str(key, value)
	}
}

var tandemErrors = tandem_messaging.Errors{
	{Err: ErrNoData, Name: "temporal.ErrNoData"},
	{Err: ErrSessionFailed, Name: "workflow.ErrSessionFailed"},
}

// tandemEnd ends a span of what returned *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if err := *result; err != nil && err != ErrActivityResultPending {
		tandemFail(span, err)
	}
	span.End()
}

// tandemFail describes an error. A workflow that goes on as a new one has not failed.
func tandemFail(span *tandem_rt.Span, err error) {
	kind, text := "_OTHER", ""
	defer func() {
		if recover() != nil || kind != "" { // errors are the program's code, too
			span.SetError(kind, text)
		}
	}()
	var next *ContinueAsNewError
	if errors.As(err, &next) {
		kind = ""
		span.Bool(tandemContinued, true)
		return
	}
	text = err.Error()
	var application *ApplicationError
	if errors.As(err, &application) && application.Type() != "" {
		kind = application.Type()
		return
	}
	kind = tandemErrors.Kind(err)
	if name, is := strings.CutPrefix(kind, "*internal."); is { // this package is nobody's to import
		kind = "*temporal." + name
	}
}
