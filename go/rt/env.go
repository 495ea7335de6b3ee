package rt

import "syscall"

// settings is what the environment says, in OpenTelemetry's words; read once at start-up.
var settings struct {
	disabled  bool   // OTEL_SDK_DISABLED
	debug     bool   // TANDEM_DEBUG
	socket    string // TANDEM_SOCKET, or the machine's agent
	waitAgent bool   // TANDEM_SOCKET was set: the first span should already have the kernel half
	endpoint  bool   // OTEL_EXPORTER_OTLP_*: somebody wants spans, agent or not
	logs      bool   // OTEL_LOGS_EXPORTER names otlp
	logIDs    bool   // TANDEM_LOG_IDS

	shareContext bool // TANDEM_SHARE_CONTEXT is not none: see share_linux.go

	enabledOps  string // OTEL_GO_ENABLED_INSTRUMENTATIONS: only these
	disabledOps string // OTEL_GO_DISABLED_INSTRUMENTATIONS: not these
	moreOps     string // TANDEM_ENABLE: these too, though they are off by default
}

const defaultSocket = "/run/tandem/agent.sock"

func readEnvironment() {
	settings.disabled = isTrue("OTEL_SDK_DISABLED")
	settings.debug = env("TANDEM_DEBUG") != ""
	settings.socket = defaultSocket
	if socket := env("TANDEM_SOCKET"); socket != "" {
		settings.socket, settings.waitAgent = socket, true
	}
	settings.endpoint = env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" ||
		env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") != "" && lists(env("OTEL_LOGS_EXPORTER"), "otlp")
	if settings.disabled {
		return // of what would not be used there is nothing to warn of
	}
	ownSampler = parseSampler(env("OTEL_TRACES_SAMPLER"), env("OTEL_TRACES_SAMPLER_ARG"), warn)
	usePropagators(parsePropagators(env("OTEL_PROPAGATORS"), warn))
	for index := range headers {
		inherited[index] = env(headers[index].Variable)
	}
	if isTrue("TANDEM_RANDOM_FLAG") {
		rootFlags = randomFlag
	}
	for _, name := range limits {
		value := trimBlanks(env(name))
		if _, valid := parseCount(value); value != "" && !valid {
			warn(name, value, "is not a number; it is ignored")
		}
	}
	configureLimits()
	settings.enabledOps = env("OTEL_GO_ENABLED_INSTRUMENTATIONS")
	settings.disabledOps = env("OTEL_GO_DISABLED_INSTRUMENTATIONS")
	settings.moreOps = env("TANDEM_ENABLE")
	settings.logs = lists(env("OTEL_LOGS_EXPORTER"), "otlp")
	settings.logIDs = isTrue("TANDEM_LOG_IDS")
	share := trimBlanks(env("TANDEM_SHARE_CONTEXT"))
	switch share {
	case "", "none", "labels":
	default:
		warn("TANDEM_SHARE_CONTEXT", share, "is neither labels nor none; it is ignored")
	}
	settings.shareContext, labelling = share != "none", share == "labels"
}

// limits of what a span may hold. The agent keeps them.
var limits = [...]string{
	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT",
	"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
	"OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
	"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
}

// isTrue reads a switch: only "true" is true.
func isTrue(name string) bool {
	value := trimBlanks(env(name))
	if value != "" && !equalFold(value, "true") && !equalFold(value, "false") {
		warn(name, value, "is neither true nor false; it counts as false")
	}
	return equalFold(value, "true")
}

// parseCount reads a number of at most nine digits.
func parseCount(text string) (count int, valid bool) {
	for index := 0; index < len(text); index++ {
		if text[index] < '0' || text[index] > '9' || index == 9 {
			return 0, false
		}
		count = count*10 + int(text[index]-'0')
	}
	return count, text != ""
}

func env(name string) string {
	value, _ := syscall.Getenv(name)
	return value
}

// resourceText is what the header's resource_offset points to: one NAME=value line a variable.
func resourceText() []byte {
	var text []byte
	for _, name := range limits { // first: there is room for these, whatever the others say
		value := trimBlanks(env(name))
		if _, valid := parseCount(value); valid {
			text = append(append(append(append(text, name...), '='), value...), '\n')
		}
	}
	text = appendVariable(text, "OTEL_SERVICE_NAME")
	for _, name := range ofPlace {
		if value := env(name); len(value) <= mostOfPlace {
			text = appendVariable(text, name)
		}
	}
	return appendVariable(text, "OTEL_RESOURCE_ATTRIBUTES")
}

// ofPlace are variables that say in which pod and cloud a program runs; the agent knows what they mean
// (crates/agent/src/place). The program hands them over since the agent may not be allowed to look, and looks at no others.
var ofPlace = [...]string{
	"KUBERNETES_SERVICE_HOST",
	"K8S_POD_NAME", "POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
	"K8S_POD_UID", "POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID",
	"K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "K8S_POD_NAMESPACE", "POD_NAMESPACE",
	"K8S_NODE_NAME", "NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME",
	"K8S_CONTAINER_NAME", "K8S_CLUSTER_NAME",
	"AWS_EXECUTION_ENV", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION",
	"CLOUD_RUN_JOB",
	"WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID", "REGION_NAME",
}

// mostOfPlace is more than any of them can have; what is longer is something else, and would take the others' room.
const mostOfPlace = 256

// appendVariable adds a line of the resource text, if the variable is set.
func appendVariable(text []byte, name string) []byte {
	value, found := syscall.Getenv(name)
	if !found {
		return text
	}
	text = append(append(text, name...), '=')
	for index := 0; index < len(value); index++ {
		if value[index] == '\n' {
			text = append(text, ' ')
			continue
		}
		text = append(text, value[index])
	}
	return append(text, '\n')
}

// lists says whether a list with commas has the word.
func lists(list, word string) bool {
	for more := true; more; {
		var name string
		if name, list, more = cutAt(list, ','); trimBlanks(name) == word {
			return true
		}
	}
	return false
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

// warn says on standard error, whoever listens, that a variable is not as it should be.
func warn(variable, value, what string) {
	if len(value) > 64 {
		value = value[:64] + "…"
	}
	writeStderr([]byte("tandem: warning: " + variable + ": " + value + " " + what + "\n"))
}
