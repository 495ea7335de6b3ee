package standalone

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"tandem/rt"
)

// pair is an attribute of the resource.
type pair struct {
	key    string
	text   string
	number int64
	isInt  bool
}

// resource describes the process as an agent would: facts, then OTEL_RESOURCE_ATTRIBUTES, then OTEL_SERVICE_NAME.
func resource(getenv func(string) string) []pair {
	var pairs []pair
	put := func(added pair) {
		for index := range pairs {
			if pairs[index].key == added.key {
				pairs[index] = added
				return
			}
		}
		pairs = append(pairs, added)
	}
	service := "unknown_service"
	if executable, failure := os.Executable(); failure == nil {
		base := filepath.Base(executable)
		service += ":" + base
		put(pair{key: "process.executable.name", text: base})
		put(pair{key: "process.executable.path", text: executable})
	}
	put(pair{key: "service.name", text: service})
	put(pair{key: "process.pid", number: int64(os.Getpid()), isInt: true})
	put(pair{key: "process.runtime.name", text: "go"})
	put(pair{key: "process.runtime.version", text: runtime.Version()})
	if host, failure := os.Hostname(); failure == nil {
		put(pair{key: "host.name", text: host})
	}
	put(pair{key: "telemetry.sdk.name", text: "tandem"})
	put(pair{key: "telemetry.sdk.language", text: "go"})
	put(pair{key: "telemetry.sdk.version", text: rt.TandemVersion})
	for _, text := range strings.Split(getenv("OTEL_RESOURCE_ATTRIBUTES"), ",") {
		key, value, found := strings.Cut(text, "=")
		key, value = decoded(key), decoded(value)
		if found && key != "" && (key != "service.name" || value != "") {
			put(pair{key: key, text: value})
		}
	}
	if name := getenv("OTEL_SERVICE_NAME"); name != "" {
		put(pair{key: "service.name", text: name})
	}
	for index := range pairs {
		pairs[index].text = strings.ToValidUTF8(pairs[index].text, "\uFFFD")
	}
	return pairs
}

// decoded undoes percent-encoding, where there is any.
func decoded(text string) string {
	text = strings.TrimSpace(text)
	if plain, failure := url.PathUnescape(text); failure == nil {
		return plain
	}
	return text
}
