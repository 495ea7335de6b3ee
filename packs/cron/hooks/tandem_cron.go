package cron

import (
	"reflect"
	"runtime"

	tandem_rt "tandem/rt"
)

// This file makes the spans of jobs. A span is around the chain of wrappers, since these may look at the job's type: it must
// be the one that the program gave.

var tandemRunning = tandem_rt.NewOp("cron.job", "tandem/github.com/robfig/cron", tandem_rt.KindInternal, "{code.function.name}")

// tandemJob is an entry's job with its span. It is made once.
type tandemJob struct {
	job  Job
	name string
}

// tandemOf is the job to start for an entry.
func tandemOf(e *Entry) Job {
	if e.WrappedJob == nil {
		return nil // which fails as it would
	}
	if e.tandem == nil {
		e.tandem = &tandemJob{name: tandemName(e.Job)}
	}
	e.tandem.job = e.WrappedJob
	return e.tandem
}

// tandemName is the function's name; that of a type's method, where the job is no function.
func tandemName(job Job) string {
	if f, is := job.(FuncJob); is && f != nil {
		if found := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); found != nil {
			return found.Name()
		}
	}
	t := reflect.TypeOf(job)
	if t == nil {
		return "Run"
	}
	if t.Kind() == reflect.Ptr {
		return "(" + t.String() + ").Run"
	}
	return t.String() + ".Run"
}

// Run runs the job. A panic that the chain does not catch is the span's error, and goes on.
func (j *tandemJob) Run() {
	span := tandem_rt.StartFunc(tandemRunning, nil)
	span.Str(tandem_rt.KeyCodeFunctionName, j.name)
	defer span.EndFunc(nil)
	j.job.Run()
}
