package db

import (
	"errors"
	"reflect"
	"strconv"

	"tandem/failure"
)

// This file names errors. It runs only when an operation failed, so it may allocate and reflect.

// Errors names the errors that a pack knows by their value.
type Errors = failure.Names

// describe says of err: what the database calls it (empty when it did not come from there), what kind of error it is, and
// its text.
func describe(err error, names Errors) (code, kind, message string) {
	defer func() {
		if recover() != nil && kind == "" {
			// A driver's error that cannot be looked at, a nil pointer for instance.
			kind = "_OTHER"
		}
	}()
	if code = codeOf(err); code != "" {
		kind = code
	} else {
		kind = names.Kind(err)
	}
	return code, kind, Redact(err.Error())
}

// codeOf returns the database's own code: of the vendor where there is one, else SQLSTATE.
func codeOf(err error) string {
	for depth := 0; err != nil && depth < 16; depth++ {
		switch known := err.(type) {
		case interface{ SQLErrorNumber() int32 }: // SQL Server
			return strconv.Itoa(int(known.SQLErrorNumber()))
		case interface{ SQLState() string }: // PostgreSQL
			if state := known.SQLState(); state != "" {
				return state
			}
		}
		if code := codeField(err); code != "" {
			return code
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// codeField looks for a code in the error's fields and methods, in the packages of drivers only: elsewhere a field
// called Code may be anything.
func codeField(err error) string {
	var target Target
	if target.readSystem(PackageOf(err)); target.System == UnknownSystem {
		return ""
	}
	value := reflect.Indirect(reflect.ValueOf(err))
	if value.Kind() == reflect.Struct {
		for _, name := range [...]string{"Number", "ExtendedCode", "ErrCode", "Code"} {
			if code := numberIn(value.FieldByName(name)); code != "" {
				if target.System == "oracle.db" {
					for len(code) < 5 {
						code = "0" + code
					}
					code = "ORA-" + code
				}
				return code
			}
		}
	}
	for _, name := range [...]string{"ExtendedCode", "Code"} {
		if method := reflect.ValueOf(err).MethodByName(name); method.IsValid() && method.Type().NumIn() == 0 && method.Type().NumOut() == 1 {
			if code := numberIn(method.Call(nil)[0]); code != "" {
				return code
			}
		}
	}
	return ""
}

func numberIn(value reflect.Value) string {
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
