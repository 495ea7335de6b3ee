package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// This file names errors. It runs only when an operation failed, so it may allocate and reflect.

// tandemFailure describes err: what the database calls it (empty when it did not come from there), what kind of error
// it is, and its text.
func tandemFailure(err error) (code, kind, message string) {
	defer func() {
		if recover() != nil && kind == "" {
			// A driver's error that cannot be looked at, a nil pointer for instance.
			kind = "_OTHER"
		}
	}()
	if code = tandemCode(err); code != "" {
		kind = code
	} else {
		kind = tandemKind(err)
	}
	return code, kind, err.Error()
}

// tandemCode returns the database's own code: of the vendor where there is one, else SQLSTATE.
func tandemCode(err error) string {
	for depth := 0; err != nil && depth < 16; depth++ {
		switch known := err.(type) {
		case interface{ SQLErrorNumber() int32 }: // SQL Server
			return strconv.Itoa(int(known.SQLErrorNumber()))
		case interface{ SQLState() string }: // PostgreSQL
			if state := known.SQLState(); state != "" {
				return state
			}
		}
		if code := tandemCodeField(err); code != "" {
			return code
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// tandemCodeField looks for a code in the error's fields and methods, in the packages of drivers only: elsewhere a field
// called Code may be anything.
func tandemCodeField(err error) string {
	path := tandemPath(err)
	var source tandemSource
	if source.setSystem(path); source.system == tandemUnknownSystem {
		return ""
	}
	value := reflect.Indirect(reflect.ValueOf(err))
	if value.Kind() == reflect.Struct {
		for _, name := range [...]string{"Number", "ExtendedCode", "ErrCode", "Code"} {
			if code := tandemNumber(value.FieldByName(name)); code != "" {
				if source.system == "oracle.db" {
					code = fmt.Sprintf("ORA-%05s", code)
				}
				return code
			}
		}
	}
	for _, name := range [...]string{"ExtendedCode", "Code"} {
		if method := reflect.ValueOf(err).MethodByName(name); method.IsValid() && method.Type().NumIn() == 0 && method.Type().NumOut() == 1 {
			if code := tandemNumber(method.Call(nil)[0]); code != "" {
				return code
			}
		}
	}
	return ""
}

func tandemNumber(value reflect.Value) string {
	switch {
	case !value.IsValid() || value.IsZero():
		return ""
	case value.CanInt():
		return strconv.FormatInt(value.Int(), 10)
	case value.CanUint():
		return strconv.FormatUint(value.Uint(), 10)
	case value.Kind() == reflect.String && len(value.String()) <= 16:
		return value.String()
	}
	return ""
}

// tandemKind names an error of which only its Go value is known.
func tandemKind(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "context.Canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "context.DeadlineExceeded"
	case errors.Is(err, driver.ErrBadConn):
		return "driver.ErrBadConn"
	case errors.Is(err, ErrTxDone):
		return "sql.ErrTxDone"
	case errors.Is(err, ErrConnDone):
		return "sql.ErrConnDone"
	}
	// The innermost error is the reason; the ones around it say where.
	for depth := 0; depth < 16; depth++ {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return reflect.TypeOf(err).String()
}
