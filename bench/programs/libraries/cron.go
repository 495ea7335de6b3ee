package main

import (
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
)

func init() {
	more = append(more, func(instruments) call {
		scheduler, done := cron.New(), make(chan struct{})
		scheduler.Start()
		return call{name: "cron", count: 500, spans: 1, bare: true, do: func(n int) {
			schedule := new(atNow)
			schedule.times.Store(int64(n))
			entry := scheduler.Schedule(schedule, cron.FuncJob(func() { done <- struct{}{} }))
			for ; n > 0; n-- {
				<-done
			}
			scheduler.Remove(entry)
		}}
	})
}

// atNow is a schedule of so many runs at once.
type atNow struct{ times atomic.Int64 }

func (s *atNow) Next(now time.Time) time.Time {
	if s.times.Add(-1) < 0 {
		return time.Time{}
	}
	return now
}
