//go:build !lowest

package main

import (
	"context"
	"os"

	"github.com/rs/zerolog"
)

func inContext(event *zerolog.Event, ctx context.Context) *zerolog.Event { return event.Ctx(ctx) }

func consoleWriter() zerolog.ConsoleWriter {
	return zerolog.ConsoleWriter{Out: os.Stdout, NoColor: true, PartsExclude: []string{"time"}}
}
