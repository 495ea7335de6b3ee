package http

import (
	"strconv"
	"testing"
)

func TestSplitHost(t *testing.T) {
	for address, want := range map[string]struct {
		host string
		port int64
	}{
		"":                      {"", 0},
		"example.com":           {"example.com", 0},
		"example.com:8080":      {"example.com", 8080},
		"127.0.0.1:1":           {"127.0.0.1", 1},
		"[::1]:443":             {"::1", 443},
		"[::1]":                 {"::1", 0},
		"::1":                   {"::1", 0},
		"fe80::1%eth0":          {"fe80::1%eth0", 0},
		"host:":                 {"host", 0},
		"host:http":             {"host:http", 0},
		"host:99999999999999":   {"host:99999999999999", 0},
		":80":                   {"", 80},
		"@":                     {"@", 0},
		"a:b:c":                 {"a:b:c", 0},
		"[fe80::1%25eth0]:8080": {"fe80::1%25eth0", 8080},
	} {
		if host, port := SplitHost(address); host != want.host || port != want.port {
			t.Errorf("%q: %q %d", address, host, port)
		}
	}
}

func TestRedact(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"a=1&b=2":                           "a=1&b=2",
		"sig=x":                             "sig=REDACTED",
		"a=1&sig=x&b=2":                     "a=1&sig=REDACTED&b=2",
		"Signature=x&Signature=y":           "Signature=REDACTED&Signature=REDACTED",
		"design=x&sig":                      "design=x&sig",
		"AWSAccessKeyId=x&&":                "AWSAccessKeyId=REDACTED&&",
		"X-Amz-Signature=a=b&c=sig":         "X-Amz-Signature=REDACTED&c=sig",
		"token=x&max_tokens=5":              "token=REDACTED&max_tokens=5",
		"Access-Token=x&apiKey=y&api_key=z": "Access-Token=REDACTED&apiKey=REDACTED&api_key=REDACTED",
		"db_password=x&client_secret=y":     "db_password=REDACTED&client_secret=REDACTED",
		"X-Amz-Security-Token=x&X-Goog-Credential=y":               "X-Amz-Security-Token=REDACTED&X-Goog-Credential=REDACTED",
		"a-very-long-name-of-more-than-thirty-two-letters.token=x": "a-very-long-name-of-more-than-thirty-two-letters.token=REDACTED",
		"author=x&passenger=y&key=z&design=w&secretary=v":          "author=x&passenger=y&key=z&design=w&secretary=v",
	} {
		if got := Redact(query); got != want {
			t.Errorf("%q: %q", query, got)
		}
	}
}

// Looking for secrets costs no allocation where there are none.
func TestRedactAllocations(t *testing.T) {
	query := "page=3&sort=name&filter=price&Page-Size=100&a-very-long-name-of-more-than-thirty-two-letters=1"
	if n := testing.AllocsPerRun(100, func() {
		if Redact(query) != query {
			t.Error("changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStatusText(t *testing.T) {
	for status := 0; status < 1000; status++ {
		if StatusText(status) != strconv.Itoa(status) {
			t.Errorf("%d: %s", status, StatusText(status))
		}
	}
}
