package standalone

import (
	"bufio"
	"strings"
	"testing"
)

// Answers of all forms, and whether the connection can be used again.
func TestReplies(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for name, is := range map[string]struct {
		text   string
		status int // 0: it is no answer
		body   string
		keep   bool
	}{
		"length":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true},
		"no phrase":        {"HTTP/1.1 503\r\ncontent-length:0\r\n\r\n", 503, "", true},
		"go on first":      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		"chunks":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n", 200, "hi!", true},
		"broken chunks":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "", false},
		"negative chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 200, "", false},
		"cut chunk":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", 200, "hi", false},
		"up to the end":    {"HTTP/1.1 200 OK\r\n\r\nhi", 200, "hi", false},
		"close":            {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200, "", false},
		"old":              {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false},
		"no content":       {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
		"cut body":         {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", 200, "hi", false},
		"long body":        {"HTTP/1.1 200 OK\r\nContent-Length: 102400\r\n\r\n" + long, 200, long[:bodyLimit], false},
		"long line":        {"HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n", 0, "", false},
		"no end of heads":  {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20000), 0, "", false},
		"other protocol":   {"SSH-2.0-nobody\r\n", 0, "", false},
		"no status":        {"HTTP/1.1 OK\r\n\r\n", 0, "", false},
		"impossible":       {"HTTP/1.1 -5 OK\r\n\r\n", 0, "", false},
		"negative length":  {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 0, "", false},
		"nothing":          {"", 0, "", false},
		"nothing but ends": {"\r\n\r\n", 0, "", false},
	} {
		answer, failure := readReply(bufio.NewReaderSize(strings.NewReader(is.text), lineLimit), false)
		if is.status == 0 {
			if failure == nil {
				t.Errorf("%s is an answer: %+v", name, answer)
			}
			continue
		}
		if failure != nil || answer.status != is.status || string(answer.body) != is.body || answer.keep != is.keep {
			t.Errorf("%s: %v, status %d, %d bytes, keep %v", name, failure, answer.status, len(answer.body), answer.keep)
		}
	}
}

// Nothing that a server says is more than a wrong answer.
func FuzzReply(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 503 Later\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nhi")
	f.Fuzz(func(t *testing.T, text string) {
		answer, failure := readReply(bufio.NewReaderSize(strings.NewReader(text), lineLimit), false)
		if failure == nil && (answer.status < 200 || len(answer.body) > 2*bodyLimit || answer.retryAfter < 0) {
			t.Errorf("%+v", answer)
		}
		rejected(answer.body)
		if rejectedJSON(answer.body, signalTraces.rejected) < 0 {
			t.Error("fewer than none were rejected")
		}
	})
}

func TestRejected(t *testing.T) {
	message := appendField(nil, 1, appendField(appendNumber(nil, 1, 300), 2, "too old"))
	if count, why := rejected(message); count != 300 || why != "too old" {
		t.Error(count, why)
	}
	if count, _ := rejected(message[:len(message)-1]); count != 0 {
		t.Error("a cut answer rejects", count)
	}
	for text, expected := range map[string]int64{`{"partialSuccess":{"rejectedSpans":"12","errorMessage":"x"}}`: 12, `{"partialSuccess":{"rejectedSpans": 7}}`: 7, `{"partialSuccess":{}}`: 0, ``: 0} {
		if count := rejectedJSON([]byte(text), signalTraces.rejected); count != expected {
			t.Errorf("%s rejects %d", text, count)
		}
	}
}
