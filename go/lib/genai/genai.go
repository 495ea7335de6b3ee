package genai

import (
	"strconv"
	"strings"

	"tandem/failure"
	"tandem/rt"
)

// Name is the name of the spans.
const Name = "{gen_ai.operation.name} {gen_ai.request.model}|{gen_ai.operation.name}"

// Operations.
const (
	Chat           = "chat"
	Embeddings     = "embeddings"
	TextCompletion = "text_completion"
)

var (
	keyOperation     = rt.NewKey("gen_ai.operation.name")
	keyProvider      = rt.NewKey("gen_ai.provider.name")
	keyRequestModel  = rt.NewKey("gen_ai.request.model")
	keyMaxTokens     = rt.NewKey("gen_ai.request.max_tokens")
	keyTemperature   = rt.NewKey("gen_ai.request.temperature")
	keyTopP          = rt.NewKey("gen_ai.request.top_p")
	keyResponseModel = rt.NewKey("gen_ai.response.model")
	keyResponseID    = rt.NewKey("gen_ai.response.id")
	keyInputTokens   = rt.NewKey("gen_ai.usage.input_tokens")
	keyOutputTokens  = rt.NewKey("gen_ai.usage.output_tokens")
	keyCacheRead     = rt.NewKey("gen_ai.usage.cache_read.input_tokens")
	keyCacheCreation = rt.NewKey("gen_ai.usage.cache_creation.input_tokens")
)

// operations are those that NewOp has made; none are added once the program runs.
var operations []*rt.Op

// NewOp registers an operation. It is for initialisers of package-level variables only.
func NewOp(id, scope string) *rt.Op {
	op := rt.NewOp(id, scope, rt.KindClient, Name)
	operations = append(operations, op)
	return op
}

// Current is the operation that runs on this goroutine, or nil.
func Current() *rt.Span {
	span := rt.Woven()
	for _, op := range operations {
		if span.Is(op) {
			return span
		}
	}
	return nil
}

// Request is what a request says of itself: numbers that were not given are 0, unless HasTemperature and HasTopP.
type Request struct {
	Operation, Provider, Model string
	MaxTokens                  int64
	Temperature, TopP          float64
	HasTemperature, HasTopP    bool
}

// Describe sets what is known when the operation begins.
func (r *Request) Describe(span *rt.Span) {
	if !span.Recording() {
		return
	}
	span.Str(keyOperation, r.Operation)
	span.Str(keyProvider, r.Provider)
	if r.Model != "" {
		span.Str(keyRequestModel, r.Model)
	}
	if r.MaxTokens != 0 {
		span.Int(keyMaxTokens, r.MaxTokens)
	}
	if r.HasTemperature {
		span.Float(keyTemperature, r.Temperature)
	}
	if r.HasTopP {
		span.Float(keyTopP, r.TopP)
	}
}

// Reach is called when it is known where the current operation is sent. A host of Azure's is another provider.
func Reach(scheme, host, port string) {
	span := Current()
	if span == nil || host == "" {
		return
	}
	span.Str(rt.KeyServerAddressDimension, host)
	number := int64(80)
	if port != "" {
		number, _ = strconv.ParseInt(port, 10, 32)
	} else if scheme == "https" {
		number = 443
	}
	span.Int(rt.KeyServerPortDimension, number)
	if strings.HasSuffix(host, ".openai.azure.com") || strings.HasSuffix(host, ".cognitiveservices.azure.com") {
		span.Replace(keyProvider, "azure.ai.openai")
	}
}

// Fail gives the span status error. code is what the service calls the error, status its HTTP status; both are empty where no
// service has spoken. The error's text may repeat what was asked, so it is not shown.
func Fail(span *rt.Span, code string, status int, err error) {
	switch {
	case span == nil:
	case isCode(code):
		span.SetError(code, "")
	case status != 0:
		span.SetError(strconv.Itoa(status), "")
	default:
		span.SetError(kind(err), "")
	}
}

// isCode says whether text can be the name of an error rather than a sentence.
func isCode(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// kind names an error that came from this side. Those of context are known by what they are called: this package cannot import it.
func kind(err error) string {
	if err == nil {
		return "_OTHER"
	}
	switch name := failure.Names(nil).Kind(err); {
	case name == "context.deadlineExceededError":
		return "context.DeadlineExceeded"
	case name == "*errors.errorString" && failure.Innermost(err).Error() == "context canceled": // whose type says nothing
		return "context.Canceled"
	default:
		return name
	}
}
