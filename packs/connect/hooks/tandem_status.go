package connect

import (
	"errors"

	tandem_rt "tandem/rt"
)

// This file names protocols and codes the way the semantic conventions do.

const tandemName = "{rpc.method}|{rpc.system.name}"

// tandemDescribe sets what client and server have in common.
func tandemDescribe(span *tandem_rt.Span, protocol, procedure string) {
	system := "connectrpc"
	if protocol != ProtocolConnect {
		system = "grpc"
	}
	if procedure != "" && procedure[0] == '/' {
		procedure = procedure[1:]
	}
	span.Str(tandem_rt.KeyRPCSystemName, system)
	span.Str(tandem_rt.KeyRPCMethod, procedure)
}

// tandemStatus sets the code of a call that is over, and returns it as error.type; "" means that it was successful. gRPC has
// a code for that, and writes them in capitals.
func tandemStatus(span *tandem_rt.Span, protocol string, err error) (code string) {
	if err != nil {
		code = CodeOf(err).String()
	}
	if protocol != ProtocolConnect {
		code = tandemUpper(code)
	}
	if code != "" {
		span.Str(tandem_rt.KeyRPCResponseStatusCode, code)
	}
	if err == nil {
		code = ""
	}
	return code
}

// tandemUpper is a code as gRPC writes it, without allocating for those that there are.
func tandemUpper(code string) string {
	switch code {
	case "":
		return "OK"
	case "canceled":
		return "CANCELLED"
	case "unknown":
		return "UNKNOWN"
	case "invalid_argument":
		return "INVALID_ARGUMENT"
	case "deadline_exceeded":
		return "DEADLINE_EXCEEDED"
	case "not_found":
		return "NOT_FOUND"
	case "already_exists":
		return "ALREADY_EXISTS"
	case "permission_denied":
		return "PERMISSION_DENIED"
	case "resource_exhausted":
		return "RESOURCE_EXHAUSTED"
	case "failed_precondition":
		return "FAILED_PRECONDITION"
	case "aborted":
		return "ABORTED"
	case "out_of_range":
		return "OUT_OF_RANGE"
	case "unimplemented":
		return "UNIMPLEMENTED"
	case "internal":
		return "INTERNAL"
	case "unavailable":
		return "UNAVAILABLE"
	case "data_loss":
		return "DATA_LOSS"
	case "unauthenticated":
		return "UNAUTHENTICATED"
	}
	return code
}

// tandemServerFault says whether a code is the server's failure; the others are the caller's doing.
func tandemServerFault(code Code) bool {
	switch code {
	case CodeUnknown, CodeDeadlineExceeded, CodeUnimplemented, CodeInternal, CodeUnavailable, CodeDataLoss:
		return true
	}
	return code > CodeUnauthenticated
}

// tandemText is an error's own words, without its code.
func tandemText(err error) string {
	var connectError *Error
	if errors.As(err, &connectError) {
		return connectError.Message()
	}
	return err.Error()
}
