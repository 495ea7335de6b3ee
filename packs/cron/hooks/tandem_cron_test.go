package cron

import (
	"testing"

	tandem_rt "tandem/rt"
)

type tandemTestJob struct{ runs *int }

func (j tandemTestJob) Run() { *j.runs++ }

// A job's span costs no allocation, from its second run on.
func TestTandemAllocatesNothing(t *testing.T) {
	runs := 0
	job := tandemTestJob{&runs}
	entry := &Entry{WrappedJob: job, Job: job}
	if n := testing.AllocsPerRun(1000, func() { tandemOf(entry).Run() }); n != 0 || runs == 0 {
		t.Errorf("%v allocations, %d runs", n, runs)
	}
	if tandem_rt.Current() != nil {
		t.Error("the span has not ended")
	}
}

// Jobs are named by what the program wrote.
func TestTandemName(t *testing.T) {
	for want, job := range map[string]Job{
		"cron.tandemTestJob.Run": tandemTestJob{}, "(*cron.tandemTestJob).Run": &tandemTestJob{}, "Run": nil,
		"github.com/robfig/cron/v3.TestTandemName.func1": FuncJob(func() {}),
	} {
		if got := tandemName(job); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func BenchmarkTandemJob(b *testing.B) {
	runs := 0
	entry := &Entry{WrappedJob: tandemTestJob{&runs}, Job: tandemTestJob{&runs}}
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemOf(entry).Run()
	}
}
