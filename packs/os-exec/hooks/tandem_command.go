package exec

import (
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	tandem_rt "tandem/rt"
)

var (
	tandemCommandOp      = tandem_rt.NewOp("os/exec.command", "tandem/os/exec", tandem_rt.KindClient, "{process.executable.name}")
	tandemExecutableName = tandem_rt.NewKey("process.executable.name")
	tandemProcessID      = tandem_rt.NewKey("process.pid")
	tandemExitCode       = tandem_rt.NewKey("process.exit.code")
)

// tandemCommand is the span of a command that was started. It lies among what Wait closes, and not in a field of its own: that
// would change what os/exec exports, and all that imports it would be compiled again.
type tandemCommand struct{ span *tandem_rt.Span }

// Close is there for the list.
func (*tandemCommand) Close() error { return nil }

// tandemCommandOf is the span of c; nil where it has none.
func tandemCommandOf(c *Cmd) *tandemCommand {
	for _, closer := range c.parentIOPipes {
		if command, is := closer.(*tandemCommand); is {
			return command
		}
	}
	return nil
}

// tandemStart begins the span of a command, and gives the command's environment the trace.
func tandemStart(c *Cmd, environment []string) []string {
	span := tandem_rt.StartDetached(tandemCommandOp, tandem_rt.FromContext(c.ctx))
	if span == nil {
		return environment
	}
	span.Str(tandemExecutableName, filepath.Base(c.Path))
	c.parentIOPipes = append(c.parentIOPipes, &tandemCommand{span})
	return tandemEnvironment(environment, span)
}

// tandemEnvironment puts the span's context into an environment, unless the caller has put another one there: one that is not
// simply handed on from our own.
func tandemEnvironment(environment []string, span *tandem_rt.Span) []string {
	var out tandem_rt.Outgoing
	out.Fill(span, nil)
	kept := environment[:0:0]
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		header, carries := tandemCarrier(name, tandem_rt.Carriers())
		if _, is := tandemCarrier(name, tandem_rt.Parents()); is && value != tandem_rt.Inherited(header) {
			return environment
		}
		if header.Lower == "baggage" && (value != tandem_rt.Inherited(header) || span.Baggage() == "") { // the caller's own
			out.Without(header.Lower)
			carries = false
		}
		if !carries {
			kept = append(kept, variable)
		}
	}
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		header, value := out.Header(heads)
		kept = append(kept, header.Variable+"="+value)
	}
	return kept
}

// tandemCarrier returns the header among those that a variable stands for.
func tandemCarrier(variable string, among []tandem_rt.Header) (header tandem_rt.Header, found bool) {
	for _, header := range among {
		if header.Variable == variable {
			return header, true
		}
	}
	return header, false
}

// tandemStarted follows the attempt to start the command.
func tandemStarted(c *Cmd, err error) {
	command := tandemCommandOf(c)
	if command == nil {
		return
	}
	if err != nil { // Start is about to close and forget all pipes
		command.span.EndError(err)
		return
	}
	command.span.Int(tandemProcessID, int64(c.Process.Pid))
	// A command that nobody waits for is over, for us, when nobody can wait for it any more.
	runtime.SetFinalizer(command, func(command *tandemCommand) { command.span.End() })
}

// tandemEnd ends the span of a command that was waited for.
func tandemEnd(c *Cmd, err error) {
	command := tandemCommandOf(c) // Wait forgets it with the pipes
	if command == nil {
		return
	}
	runtime.SetFinalizer(command, nil)
	span := command.span
	switch state := c.ProcessState; {
	case state == nil: // it could not be waited for
		span.EndError(err)
		return
	case !state.Exited(): // a signal has ended it
		span.SetError("signal", state.String())
	default:
		code := state.ExitCode()
		span.Int(tandemExitCode, int64(code))
		if code != 0 {
			span.SetError(strconv.Itoa(code), "")
		}
	}
	span.End()
}
