package rt

import "syscall"

// settings is what the environment says, in OpenTelemetry's words; read once at start-up.
var settings struct {
	disabled  bool   // OTEL_SDK_DISABLED
	debug     bool   // TANDEM_DEBUG
	socket    string // TANDEM_SOCKET, or the machine's agent
	waitAgent bool   // TANDEM_SOCKET was set: the first span should already have the kernel half
	endpoint  bool   // OTEL_EXPORTER_OTLP_*: somebody wants spans, agent or not
}

const defaultSocket = "/run/tandem/agent.sock"

func readEnvironment() {
	settings.disabled = equalFold(env("OTEL_SDK_DISABLED"), "true")
	settings.debug = env("TANDEM_DEBUG") != ""
	settings.socket = defaultSocket
	if socket := env("TANDEM_SOCKET"); socket != "" {
		settings.socket, settings.waitAgent = socket, true
	}
	settings.endpoint = env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	inherited.traceparent, inherited.tracestate = env("TRACEPARENT"), env("TRACESTATE")
	configureSampler(env("OTEL_TRACES_SAMPLER"), env("OTEL_TRACES_SAMPLER_ARG"))
}

func env(name string) string {
	value, _ := syscall.Getenv(name)
	return value
}

// resourceText is what the header's resource_offset points to: one NAME=value line a variable.
func resourceText() []byte {
	var text []byte
	for _, name := range [...]string{"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"} {
		value, found := syscall.Getenv(name)
		if !found {
			continue
		}
		text = append(text, name...)
		text = append(text, '=')
		for index := 0; index < len(value); index++ {
			if value[index] == '\n' {
				text = append(text, ' ')
				continue
			}
			text = append(text, value[index])
		}
		text = append(text, '\n')
	}
	return text
}

// equalFold compares ASCII text without regard to case; lower must be in lower case.
func equalFold(text, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for index := 0; index < len(text); index++ {
		letter := text[index]
		if 'A' <= letter && letter <= 'Z' {
			letter += 'a' - 'A'
		}
		if letter != lower[index] {
			return false
		}
	}
	return true
}

// debug prints a line to standard error when TANDEM_DEBUG is set, and nothing otherwise.
func debug(parts ...string) {
	if !settings.debug {
		return
	}
	line := []byte("tandem: ")
	for _, part := range parts {
		line = append(line, part...)
	}
	writeStderr(append(line, '\n'))
}
