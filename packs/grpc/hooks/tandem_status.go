package grpc

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc/codes"
	tandem_rt "tandem/rt"
)

// This file writes status codes the way the semantic conventions do, and says which are errors.

var tandemCodes = [...]string{
	codes.OK:                 "OK",
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

func tandemCode(code codes.Code) string {
	if int(code) < len(tandemCodes) {
		return tandemCodes[code]
	}
	return strconv.FormatUint(uint64(code), 10)
}

// tandemServerFault reports whether a code says that the server failed; the others are the caller's doing.
func tandemServerFault(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return code > codes.Unauthenticated
}

// tandemContextCode is the code of a call that ended without a status: its caller is gone, or late.
func tandemContextCode(ctx context.Context) codes.Code {
	switch err := ctx.Err(); {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}

// tandemMethod is a method's full name without its leading slash.
func tandemMethod(method string) string {
	if method != "" && method[0] == '/' {
		return method[1:]
	}
	return method
}

const tandemName = "{rpc.method}|{rpc.system.name}"

func tandemDescribe(span *tandem_rt.Span) {
	span.Str(tandem_rt.KeyRPCSystemName, "grpc")
}
