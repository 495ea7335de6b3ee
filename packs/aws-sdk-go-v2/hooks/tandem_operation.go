package middleware

import (
	"context"
	"errors"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	tandem_failure "tandem/failure"
	tandem_rt "tandem/rt"
)

// This file makes the spans of operations, which are current until the answer is there. What an operation is given and what it
// answers is not looked at.

var (
	tandemOperation = tandem_rt.NewOp("aws-sdk-go-v2.operation", "tandem/github.com/aws/aws-sdk-go-v2", tandem_rt.KindClient, "{rpc.method}")
	tandemRegion    = tandem_rt.NewKey("cloud.region")
	tandemRequestID = tandem_rt.NewKey("aws.request_id")
)

// tandemStart begins the span.
func tandemStart(ctx context.Context) *tandem_rt.Span {
	if !tandemOperation.On() {
		return nil
	}
	span := tandem_rt.Start(tandemOperation, tandem_rt.FromContext(ctx))
	if span == nil {
		return nil
	}
	span.Str(tandem_rt.KeyRPCSystemName, "aws-api")
	span.Join(tandem_rt.KeyRPCMethod, GetServiceID(ctx), "/", GetOperationName(ctx))
	if region := GetRegion(ctx); region != "" {
		span.Str(tandemRegion, region)
	}
	return span
}

// tandemEnd ends it. An error's message may quote what was given, so only its code is shown.
func tandemEnd(span *tandem_rt.Span, metadata *middleware.Metadata, result *error) {
	if span == nil {
		return
	}
	if id, known := GetRequestIDMetadata(*metadata); known && span.Recording() {
		span.Str(tandemRequestID, id)
	}
	if err := *result; err != nil {
		tandemFail(span, err)
	}
	span.End()
}

var tandemErrors = tandem_failure.Names{
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{context.Canceled, "context.Canceled"},
}

func tandemFail(span *tandem_rt.Span, err error) {
	var answered smithy.APIError
	var cancelled *smithy.CanceledError
	switch {
	case errors.As(err, &answered) && answered.ErrorCode() != "":
		code := answered.ErrorCode()
		span.Str(tandem_rt.KeyRPCResponseStatusCode, code)
		span.SetError(code, "")
	case errors.As(err, &cancelled):
		span.SetError("context.Canceled", "")
	default:
		span.SetError(tandemErrors.Kind(err), "")
	}
}
