// Package service holds what every program of the shop does the same way:
// flags that the environment can set, JSON logs, and running until a signal.
package service

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Flags are command-line flags, some of which take their default from the
// environment.
type Flags struct {
	*flag.FlagSet
}

// NewFlags returns an empty set of flags for the named program.
func NewFlags(program string) *Flags {
	return &Flags{flag.NewFlagSet(program, flag.ExitOnError)}
}

// Env defines a string flag whose default is the environment variable's value
// or, when that is not set, the fallback.
func (f *Flags) Env(name, variable, fallback, usage string) *string {
	if value, ok := os.LookupEnv(variable); ok {
		fallback = value
	}
	return f.String(name, fallback, fmt.Sprintf("%s (environment: %s)", usage, variable))
}

// Main parses the command line and runs the service until it fails or is told
// to stop with SIGINT or SIGTERM, which cancels the context. It logs as JSON to
// standard error, each line naming the service.
func Main(flags *Flags, run func(ctx context.Context) error) {
	var level slog.Level
	text := flags.Env("log-level", "SHOP_LOG_LEVEL", "info", "least level to log")
	_ = flags.Parse(os.Args[1:]) // ExitOnError: it does not return an error.
	if err := level.UnmarshalText([]byte(*text)); err != nil {
		fmt.Fprintf(os.Stderr, "%s: --log-level: %v\n", flags.Name(), err)
		os.Exit(2)
	}
	handler := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})
	slog.SetDefault(slog.New(handler).With("service", flags.Name()))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.ErrorContext(ctx, "failed", "error", err)
		os.Exit(1)
	}
	slog.InfoContext(ctx, "stopped")
}
