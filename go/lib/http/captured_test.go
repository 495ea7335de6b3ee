package http

import (
	"strings"
	"testing"

	"tandem/rt"
)

// What names a header is understood in any form; what is secret by its name is told to nobody.
func TestWhatIsCaptured(t *testing.T) {
	all := parseCaptured("http.request.header.", " X-Request-ID,accept,ACCEPT,, .*,Authorization,x-tenant,X-Api-Key", "X-Tenant")
	want := Captured{
		{"X-Request-Id", "http.request.header.x-request-id", false}, {"Accept", "http.request.header.accept", false},
		{"Authorization", "http.request.header.authorization", true}, {"X-Tenant", "http.request.header.x-tenant", true},
		{"X-Api-Key", "http.request.header.x-api-key", true},
	}
	if len(all) != len(want) {
		t.Fatalf("%v", all)
	}
	for i := range want {
		if all[i] != want[i] {
			t.Errorf("%v instead of %v", all[i], want[i])
		}
	}
	if many := parseCaptured("", strings.Repeat("a,b", 3)+strings.Repeat(",x-a", 5), ""); len(many) > capturedLimit {
		t.Errorf("%d headers", len(many))
	}
}

func TestSecretHeaders(t *testing.T) {
	for name, is := range map[string]bool{
		"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true, "x-api-key": true, "x-csrf-token": true,
		"x-amz-security-token": true, "x-auth-user": true, "x-session-id": true, "ocp-apim-subscription-key": true, "x-amzn-oidc-jwt": true,
		"x-request-id": false, "accept": false, "content-type": false, "idempotency-key": false, "user-agent": false, "x-forwarded-for": false,
	} {
		if isSecretHeader(name) != is {
			t.Errorf("%s: %v", name, !is)
		}
	}
}

func TestURLsInHeaders(t *testing.T) {
	for text, want := range map[string]string{
		"https://ann:pw@shop.example/a?token=1&b=2#top": "https://REDACTED:REDACTED@shop.example/a?token=REDACTED&b=2",
		"/login?next=/a&password=x":                     "/login?next=/a&password=REDACTED",
		"https://shop.example":                          "https://shop.example",
		"bot (+https://shop.example/@us)":               "bot (+https://shop.example/@us)",
	} {
		if got := RedactURL(text); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}

// Headers of usual length are told without an allocation.
func TestCapturedAllocatesNothing(t *testing.T) {
	all := parseCaptured("http.request.header.", "accept,x-request-id,authorization,x-absent", "")
	header := map[string][]string{"Accept": {"text/html", "*/*"}, "X-Request-Id": {"0123456789"}, "Authorization": {"Bearer x"}}
	span := rt.Start(testCapture, nil)
	if !span.Recording() {
		t.Skip("nothing is recorded here")
	}
	all.Tell(span, header)
	span.End()
	if n := testing.AllocsPerRun(1000, func() {
		span := rt.Start(testCapture, nil)
		all.Tell(span, header)
		span.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var testCapture = rt.NewOp("test.captured", "tandem/test", rt.KindServer, "test")
