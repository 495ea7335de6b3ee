package hpack

import (
	"bytes"
	"testing"
)

// A traceparent crosses as it is, and what only looks like one does as well; all else is written as before.
func TestTandemEncode(t *testing.T) {
	for text, plain := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":  true,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-012": false,
		"00-0af7651916cd43dd8448eb211c80319cab7ad6b7169203331-01":  false,
		"application/grpc": false,
		"":                 true,
	} {
		var wire bytes.Buffer
		encoder := NewEncoder(&wire)
		if err := encoder.WriteField(HeaderField{Name: "name", Value: text, Sensitive: true}); err != nil {
			t.Fatal(err)
		}
		if bytes.HasSuffix(wire.Bytes(), []byte(text)) != plain {
			t.Errorf("%q: %q", text, wire.Bytes())
		}
		var got []HeaderField
		decoder := NewDecoder(4096, func(field HeaderField) { got = append(got, field) })
		if _, err := decoder.Write(wire.Bytes()); err != nil || len(got) != 1 || got[0].Value != text {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}
