package driver

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unsafe"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	tandem_db "tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the spans of commands. What a method of a collection asks for is one or more operations of this package; an
// operation is a command, sent again where that may help, or several of the same name where one cannot hold all documents.
// Nothing of what a command holds is shown but its name and its collection.

const tandemScope = "tandem/go.mongodb.org/mongo-driver"

var tandemCommand = tandem_db.NewOp("mongo-driver.command", tandemScope, tandem_db.NameCommand)

var tandemErrors = tandem_db.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
}

// tandemStart begins the span of an operation. The driver's own, which greet a server and watch it, go to a connection that
// was chosen before.
func tandemStart(ctx context.Context, op *Operation, name string, documents int) *tandem_rt.Span {
	if !tandemCommand.On() {
		return nil
	}
	if _, own := op.Deployment.(SingleConnectionDeployment); own {
		return nil
	}
	span := tandem_rt.Start(tandemCommand, tandem_rt.FromContext(ctx))
	if span == nil {
		return nil
	}
	span.Str(tandem_rt.KeyDBSystemName, "mongodb")
	span.Str(tandem_rt.KeyDBNamespaceDimension, op.Database)
	if name != "" {
		span.Str(tandem_rt.KeyDBOperationName, name)
	}
	if documents > 1 {
		span.Int(tandem_db.KeyBatchSize, int64(documents))
	}
	return span
}

// tandemSend is called with each command of an operation, before it is sent to a server. The first says it all.
func tandemSend(span *tandem_rt.Span, op *Operation, name string, command bsoncore.Document, address string) {
	if span == nil || span.Has(tandem_rt.KeyServerAddressDimension) {
		return
	}
	if !span.Has(tandem_rt.KeyDBOperationName) {
		span.Str(tandem_rt.KeyDBOperationName, name)
	}
	if collection := tandemCollection(name, command); collection != "" {
		span.Str(tandem_rt.KeyDBCollectionName, collection)
	}
	port := 0
	if colon := strings.LastIndexByte(address, ':'); colon >= 0 && !strings.HasSuffix(address, "]") && !strings.HasPrefix(address, "/") {
		if number, err := strconv.Atoi(address[colon+1:]); err == nil {
			address, port = strings.Trim(address[:colon], "[]"), number
		}
	}
	if address != "" {
		span.Str(tandem_rt.KeyServerAddressDimension, address)
	}
	if port != 0 {
		span.Int(tandem_rt.KeyServerPortDimension, int64(port))
	}
}

// tandemCollection is what a command is about: as a rule its first value.
func tandemCollection(name string, command bsoncore.Document) string {
	key := name
	switch name {
	case "getMore":
		key = "collection"
	case "find", "insert", "update", "delete", "aggregate", "count", "distinct", "findAndModify", "findandmodify", "mapReduce", "killCursors",
		"create", "drop", "createIndexes", "dropIndexes", "listIndexes", "collMod", "collStats", "validate", "compact",
		"createSearchIndexes", "updateSearchIndex", "dropSearchIndex":
	default:
		return ""
	}
	// Its length, then for each element a type, a name and a value; a text's is its length, and ends with 0.
	rest := []byte(command)
	if len(rest) < 5 {
		return ""
	}
	for rest = rest[4:]; len(rest) > 1; {
		kind := rest[0]
		end := 1
		for end < len(rest) && rest[end] != 0 {
			end++
		}
		if end == len(rest) {
			return ""
		}
		found := string(rest[1:end]) == key
		rest = rest[end+1:]
		switch {
		case kind == 2 && len(rest) >= 4:
			size := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16 | int(rest[3])<<24
			if size < 1 || size > len(rest)-4 {
				return ""
			}
			if found {
				return tandemText(rest[4 : 4+size-1])
			}
			rest = rest[4+size:]
		case kind == 18 && len(rest) >= 8 && !found: // a cursor's number
			rest = rest[8:]
		default:
			return ""
		}
	}
	return ""
}

// tandemEnd ends the span of an operation that returns *result. That nobody asked for an answer is no error, nor is that what
// shall go is not there.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if err := *result; err != nil && err != ErrUnacknowledgedWrite {
		if server, is := err.(Error); !is || !server.NamespaceNotFound() {
			tandemFail(span, err)
		}
	}
	span.End()
}

// tandemFail names the server's errors by their number.
func tandemFail(span *tandem_rt.Span, err error) {
	var code int64
	message := ""
	var server Error
	var write WriteCommandError
	switch {
	case errors.As(err, &write):
		if len(write.WriteErrors) > 0 {
			code, message = int64(write.WriteErrors[0].Code), write.WriteErrors[0].Message
		} else if write.WriteConcernError != nil {
			code, message = int64(write.WriteConcernError.Code), write.WriteConcernError.Message
		}
	case errors.As(err, &server):
		code, message = int64(server.Code), server.Message
	}
	if code == 0 {
		tandem_db.Fail(span, err, tandemErrors)
		return
	}
	text := strconv.FormatInt(code, 10)
	span.Str(tandem_rt.KeyDBResponseStatusCode, text)
	span.SetError(text, tandem_db.Redact(message))
}

// tandemText is text whose bytes are only looked at.
func tandemText(b []byte) string {
	return *(*string)(unsafe.Pointer(&b)) // unsafe.String is for Go 1.20
}
