package rt

import (
	"encoding/hex"
	mathrand "math/rand"
	"strings"
	"testing"
)

// plainParse is the same as parseTraceparent, as one would write it without regard to time.
func plainParse(text string) (result parent, valid bool) {
	fields := strings.Split(text, "-")
	if len(fields) < 4 || len(fields[0]) != 2 || len(fields[1]) != 32 || len(fields[2]) != 16 || len(fields[3]) != 2 {
		return parent{}, false
	}
	for _, field := range fields[:4] {
		if strings.Trim(field, "0123456789abcdef") != "" {
			return parent{}, false
		}
	}
	if fields[0] == "ff" || (fields[0] == "00" && len(fields) != 4) {
		return parent{}, false
	}
	trace, _ := hex.DecodeString(fields[1])
	span, _ := hex.DecodeString(fields[2])
	flags, _ := hex.DecodeString(fields[3])
	copy(result.trace[:], trace)
	copy(result.span[:], span)
	result.flags = flags[0]
	return result, result.trace != [16]byte{} && result.span != [8]byte{}
}

func compareParsers(t *testing.T, text string) {
	t.Helper()
	var got parent
	valid := parseTraceparent(text, &got)
	want, wanted := plainParse(text)
	if valid != wanted || (valid && got != want) {
		t.Errorf("%q: %v %+v instead of %v %+v", text, valid, got, wanted, want)
	}
}

const goodTraceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparentTable(t *testing.T) {
	for _, text := range []string{
		goodTraceparent, "", "00", strings.ToUpper(goodTraceparent),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"ff" + goodTraceparent[2:], "cc" + goodTraceparent[2:], "cc" + goodTraceparent[2:] + "-more", "cc" + goodTraceparent[2:] + "more",
		goodTraceparent + "-more", goodTraceparent + " ", " " + goodTraceparent, goodTraceparent[:54], "0x" + goodTraceparent[2:],
	} {
		compareParsers(t, text)
	}
}

// Every byte value at every place gives what the plain parser gives.
func TestTraceparentEveryByte(t *testing.T) {
	for at := 0; at < len(goodTraceparent); at++ {
		for value := 0; value < 256; value++ {
			text := []byte(goodTraceparent)
			text[at] = byte(value)
			compareParsers(t, string(text))
		}
	}
}

// What is formatted is parsed back.
func TestTraceparentRoundTrip(t *testing.T) {
	random := mathrand.New(mathrand.NewSource(1))
	for count := 0; count < 10000; count++ {
		var want, got parent
		random.Read(want.trace[:])
		random.Read(want.span[:])
		want.flags = uint8(random.Intn(256))
		text := string(appendTraceparent(nil, &want.trace, &want.span, want.flags))
		if text != "00-"+hex.EncodeToString(want.trace[:])+"-"+hex.EncodeToString(want.span[:])+"-"+hex.EncodeToString([]byte{want.flags}) {
			t.Fatalf("formatted as %s", text)
		}
		if !parseTraceparent(text, &got) || got != want {
			t.Fatalf("%s parsed as %+v", text, got)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(goodTraceparent)
	f.Add("cc" + goodTraceparent[2:] + "-more")
	f.Fuzz(compareParsers)
}

// The flags that travel on: sampled by our decision, random as it came, nothing else.
func TestTraceFlags(t *testing.T) {
	drain(t)
	for came, goes := range map[string]uint8{"00": 0, "01": 1, "03": 3, "02": 2, "ff": 3} {
		span := StartRemote(opServer, goodTraceparent[:53]+came, "")
		if span.traceFlags != goes {
			t.Errorf("flags %s become %d", came, span.traceFlags)
		}
		span.End()
	}
	drain(t)
}
