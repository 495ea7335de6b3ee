package main

import (
	"context"
	"log"
	"log/slog"
	"time"
)

// line is a line of JSON with trace ids, within a span.
func line(with instruments) call { return logging("slog", with.ids, with.span, 0) }

// record is such a line and a log record.
func record(with instruments) call { return logging("slog with records", with.records, with.span, 1) }

// logging logs what a server would say of a request.
func logging(name string, instrument func(slog.Handler) slog.Handler, span func(func(context.Context)), logs int) call {
	logger := slog.New(instrument(slog.NewJSONHandler(nobody{}, nil)))
	return logged(name, span, logs, func(ctx context.Context) {
		logger.LogAttrs(ctx, slog.LevelInfo, "the request was answered", slog.String("method", "GET"), slog.String("route", "/api/v1/items/{id}"),
			slog.Int("status", 200), slog.Duration("took", time.Microsecond), slog.Bool("cached", false))
	})
}

// logged writes lines that have trace ids. All the calls of one measurement are within one span, which is not worth counting.
func logged(name string, span func(func(context.Context)), logs int, write func(context.Context)) call {
	return call{name: name, count: 500, logs: logs, whole: 1, ids: true, do: func(n int) {
		span(func(ctx context.Context) {
			for ; n > 0; n-- {
				write(ctx)
			}
		})
	}}
}

// printed is a line of log's and a log record.
func printed(with instruments) call {
	logger := with.logger()
	return call{name: "log with records", count: 500, logs: 1, whole: 1, do: func(n int) {
		with.span(func(context.Context) { printLines(logger, n) })
	}}
}

func printLines(logger *log.Logger, n int) {
	for ; n > 0; n-- {
		logger.Printf("the request was answered with %d in %d ns", 200, n)
	}
}

// nobody reads the lines. Not io.Discard, which some loggers know.
type nobody struct{}

// lineSize is how long the last line of a call was whose lines have ids.
func (c *call) lineSize() int {
	if !c.ids {
		return 0
	}
	return lastLine
}

// lastLine is how long the last line was: one without ids would be a fast one.
var lastLine int

func (nobody) Write(line []byte) (int, error) {
	lastLine = len(line)
	return len(line), nil
}
