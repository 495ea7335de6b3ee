//go:build cgo

package main

/*
#include <time.h>

static long long cpu(void) {
	struct timespec time;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long compute(long long nanos) {
	long long start = cpu(), ran;
	while ((ran = cpu() - start) < nanos)
		;
	return ran;
}

static void wait(long long nanos) {
	struct timespec time = {nanos / 1000000000, nanos % 1000000000};
	while (nanosleep(&time, &time) != 0)
		;
}

void knownWaitsCallback(void);

static long long computeRoundCallback(long long nanos) {
	long long ran = compute(nanos / 2);
	knownWaitsCallback();
	return ran + compute(nanos / 2);
}
*/
import "C"

import "time"

//export knownWaitsCallback
func knownWaitsCallback() {
	burn(pause / 2)
	time.Sleep(pause)
}

// newForeign computes and waits in C. What it waits for there is the kernel's to say; what Go does that C calls is no C.
func newForeign(string) []*wait {
	computing := &wait{name: "C", lockedOnly: true, prepare: func() func(*observation) {
		return func(o *observation) {
			ran := int64(C.compute(C.longlong(pause)))
			start := now()
			C.wait(C.longlong(pause))
			o.add("blocked_sleep", start, start+int64(pause))
			o.Parts["cgo"] = &bounds{LeastNanos: ran, MostNanos: ran}
		}
	}}
	calling := &wait{name: "C that calls Go", prepare: func() func(*observation) {
		return func(o *observation) {
			start := now()
			ran := int64(C.computeRoundCallback(C.longlong(pause)))
			o.Parts["cgo"] = &bounds{LeastNanos: ran, MostNanos: ran}
			o.Parts["go_sleep"] = &bounds{LeastNanos: int64(pause), MostNanos: now() - start - ran}
		}
	}}
	return []*wait{computing, calling}
}
