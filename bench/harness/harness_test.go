package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A goal that lies within the noise, or within what the control differs by, is judged with a star.
func TestJudge(t *testing.T) {
	for _, each := range []struct {
		name           string
		value          float64
		noise, control float64
		limit          *goal
		want           string
	}{
		{"clearly below", 100, 5, 1, atMost(ofValue, 150), "met"},
		{"clearly above", 200, 5, 1, atMost(ofValue, 150), "missed"},
		{"below, but the noise is wide", 148, 5, 1, atMost(ofValue, 150), "met *"},
		{"above, but equal things differ as much", 152, 1, -5, atMost(ofValue, 150), "missed *"},
		{"a difference", 350, 1, 1, atMost(ofDifference, 200), "missed"},
		{"a ratio that should be large", 350, 0.1, 0.1, atLeast(ofRatio, 3), "met"},
		{"exactly nothing", 0, 0, 0, atMost(ofValue, 0), "met"},
	} {
		r := row{Base: pointer(100), Value: each.value, Noise: each.noise, Control: pointer(each.control), Goal: each.limit}
		r.judge()
		if r.Verdict != each.want {
			t.Errorf("%s: %q, want %q", each.name, r.Verdict, each.want)
		}
	}
}

// A disturbance that hits some rounds, whichever case is running, does not change the difference of two cases.
func TestDifferenceWithstandsDisturbance(t *testing.T) {
	var base, value series
	for round := 0; round < 200; round++ {
		disturbance := float64(round % 3 * 50)
		small := float64(round % 7)
		base.first, base.second = append(base.first, 1000+small), append(base.second, 1000+disturbance)
		value.first, value.second = append(value.first, 1100+disturbance), append(value.second, 1100+small)
	}
	found, unsure, _ := difference(base, value)
	if math.Abs(found-100) > 3 || unsure > 3 {
		t.Errorf("difference %v ± %v, want 100", found, unsure)
	}
}

// The sink counts the spans of all scopes of all resources, and stops quietly where a message is broken.
func TestCountSpans(t *testing.T) {
	field := func(number byte, content string) string {
		return string([]byte{number<<3 | 2, byte(len(content))}) + content
	}
	span := field(2, "\x39\x01\x02\x03\x04\x05\x06\x07\x08") // a span with a fixed64 field
	scope := field(2, field(1, "scope")+span+span)
	resource := field(1, field(1, "resource")+scope+scope)
	if count := countItems([]byte(resource + resource)); count != 8 {
		t.Errorf("counted %d spans, want 8", count)
	}
	for size := range resource {
		countItems([]byte(resource[:size])) // must not panic
	}
}

// A row shows its noise beside what is judged.
func TestCells(t *testing.T) {
	r := row{What: "a", Unit: "ns", Base: pointer(100), Value: 150, Noise: 2, Control: pointer(-1), Goal: atMost(ofDifference, 60)}
	r.judge()
	if got, want := strings.Join(r.cells(), "|"), "a, ns|100|150|+50.0 ±2.00|1.5|-1.00|≤ +60.0|met"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A full run replaces what stands between the marks of results.md, and nothing else.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.md")
	if err := os.WriteFile(path, []byte("before\n"+beginMark+"old\n"+endMark+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newReport(&bench{})
	r.add("span", &outcome{Rows: []row{{What: "a span", Unit: "ns", Value: 140, Goal: atMost(ofValue, 150)}}})
	if err := r.keep(path); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	if got := string(text); !strings.HasPrefix(got, "before\n"+beginMark) || !strings.HasSuffix(got, endMark+"after\n") ||
		!strings.Contains(got, "| a span, ns |  | 140 |  |  |  | ≤ 150 | met |") || strings.Contains(got, "old") {
		t.Error(got)
	}
}
