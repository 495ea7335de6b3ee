//go:build lowest

package main

import (
	"context"
	"os"

	"github.com/rs/zerolog"
)

func inContext(event *zerolog.Event, _ context.Context) *zerolog.Event { return event }

func consoleWriter() zerolog.ConsoleWriter {
	return zerolog.ConsoleWriter{Out: os.Stdout, NoColor: true}
}
