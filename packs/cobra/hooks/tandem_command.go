package cobra

import (
	"errors"

	flag "github.com/spf13/pflag"
	tandem_rt "tandem/rt"
)

// This file makes the span of a command. Whether it is a root is up to what is current: a program that was started within a
// trace has a span of its own above. The commands' names are the program's; its arguments are nobody's business.

var (
	// A command that serves for months would be the parent of all that the program does in the background.
	tandemCommand    = tandem_rt.NewOp("cobra.command", "tandem/github.com/spf13/cobra", tandem_rt.KindInternal, "{cobra.command}").OffByDefault()
	tandemCommandKey = tandem_rt.NewKey("cobra.command")
)

// tandemStart begins the span.
func tandemStart(c *Command) *tandem_rt.Span {
	if c == nil || !tandemCommand.On() {
		return nil
	}
	var explicit *tandem_rt.Span
	if ctx := c.Context(); ctx != nil {
		explicit = tandem_rt.FromContext(ctx)
	}
	span := tandem_rt.StartFunc(tandemCommand, explicit)
	if span != nil {
		span.Str(tandemCommandKey, c.CommandPath())
		tandem_rt.EndWithProgram(span) // os.Exit in a command is common
	}
	return span
}

// tandemEnd ends it. Errors of before the command runs quote arguments, so only their type is shown.
func tandemEnd(span *tandem_rt.Span, runs *bool, result *error) {
	if span == nil {
		return
	}
	tandem_rt.EndedBefore(span)
	switch err := *result; {
	case err == nil || errors.Is(err, flag.ErrHelp):
		span.EndFunc(nil)
	case *runs:
		span.EndFunc(result)
	default:
		span.SetError("cobra.usage", "")
		span.EndFunc(nil)
	}
}
