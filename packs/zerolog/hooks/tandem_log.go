package zerolog

import (
	"context"

	tandem_rt "tandem/rt"
)

// Tandem's zerolog pack: events as OpenTelemetry log records, where OTEL_LOGS_EXPORTER asks for them. zerolog has written
// an event's fields as JSON by the time it is sent: that text is taken as it is, and read by the agent.

var tandemLogOp = tandem_rt.NewOp("zerolog.log", "tandem/github.com/rs/zerolog", tandem_rt.KindInternal, "log")

func tandemLog(e *Event, ctx context.Context, message string) {
	if e.level == Disabled || !tandem_rt.Logs() || tandem_rt.IsLogPassing(message) {
		return
	}
	var span *tandem_rt.Span
	if ctx != nil {
		span = tandem_rt.FromContext(ctx)
	}
	log := tandem_rt.StartLog(tandemLogOp, span, tandemSeverity(e.level), e.level.String())
	if log == nil {
		return
	}
	log.Body(message)
	log.WhereOutside("github.com/rs/zerolog")
	tandemFields(log, e)
	log.Emit()
}

// tandemSeverity is OpenTelemetry's number for a level.
func tandemSeverity(level Level) uint8 {
	switch {
	case level == NoLevel:
		return 0
	case level < DebugLevel: // trace, and what people number below it
		return tandem_rt.SeverityTrace
	case level > PanicLevel:
		return tandem_rt.SeverityFatal + 3
	}
	return [...]uint8{
		tandem_rt.SeverityDebug, tandem_rt.SeverityInfo, tandem_rt.SeverityWarn, tandem_rt.SeverityError,
		tandem_rt.SeverityFatal, tandem_rt.SeverityFatal + 1,
	}[level]
}
