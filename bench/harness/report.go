package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// row is one comparison: a value against its base, and beside it the control, which compares two equal things.
type row struct {
	What    string   `json:"what"`
	Unit    string   `json:"unit"`
	Base    *float64 `json:"base,omitempty"` // nil: the value stands for itself
	Value   float64  `json:"value"`
	Noise   float64  `json:"noise"`            // half of the 95 % interval of what is judged
	Median  *float64 `json:"median,omitempty"` // paired median of the difference, where there is one
	Control *float64 `json:"control,omitempty"`
	Goal    *goal    `json:"goal,omitempty"`
	Verdict string   `json:"verdict,omitempty"`
	Note    string   `json:"note,omitempty"`
}

// goal is a limit on one view of a row.
type goal struct {
	Of      view    `json:"of"`
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
}

// view is what of a row is judged.
type view string

const (
	ofValue      view = "value"
	ofDifference view = "difference" // value - base
	ofRatio      view = "ratio"      // value / base
)

func atMost(of view, limit float64) *goal  { return &goal{Of: of, Limit: limit} }
func atLeast(of view, limit float64) *goal { return &goal{Of: of, Limit: limit, AtLeast: true} }
func pointer(value float64) *float64       { return &value }

func (r *row) view(of view) float64 {
	switch {
	case of == ofDifference && r.Base != nil:
		return r.Value - *r.Base
	case of == ofRatio && r.Base != nil:
		return r.Value / *r.Base
	}
	return r.Value
}

// judge says whether the goal was met. Where the goal lies within what the measurement cannot tell apart, it says so.
func (r *row) judge() {
	if r.Goal == nil {
		return
	}
	figure, unsure := r.view(r.Goal.Of), math.Abs(r.Noise)
	if r.Control != nil {
		unsure = math.Max(unsure, math.Abs(*r.Control))
	}
	met := figure <= r.Goal.Limit
	if r.Goal.AtLeast {
		met = figure >= r.Goal.Limit
	}
	r.Verdict = "missed"
	if met {
		r.Verdict = "met"
	}
	if math.Abs(figure-r.Goal.Limit) < unsure {
		r.Verdict += " *"
	}
}

// outcome is what a part found.
type outcome struct {
	Started time.Time `json:"started"`
	Rows    []row     `json:"rows"`
	Raw     any       `json:"raw"`
}

func (o *outcome) write(path string) error {
	text, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// report collects the parts' outcomes.
type report struct {
	bench   *bench
	started time.Time
	names   []string
	parts   map[string]*outcome
	skipped map[string]string
}

func newReport(b *bench) *report {
	return &report{bench: b, started: time.Now(), parts: map[string]*outcome{}, skipped: map[string]string{}}
}

func (r *report) add(name string, found *outcome) {
	found.Started = r.started
	for index := range found.Rows {
		found.Rows[index].judge()
	}
	r.names = append(r.names, name)
	r.parts[name] = found
}

func (r *report) skip(name, reason string) {
	r.bench.say("%s: skipped: %s", name, reason)
	r.names = append(r.names, name)
	r.skipped[name] = reason
	if path := os.Getenv("TANDEM_SKIPS"); path != "" {
		if file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			fmt.Fprintf(file, "bench %s: %s\n", name, reason)
			file.Close()
		}
	}
}

var columns = []string{"", "base", "measured", "difference", "ratio", "A/A", "goal", ""}

// print writes the table for a terminal.
func (r *report) print(to io.Writer) {
	lines := [][]string{columns}
	for _, name := range r.names {
		lines = append(lines, []string{name})
		if reason := r.skipped[name]; reason != "" {
			lines[len(lines)-1][0] += ": skipped: " + reason
			continue
		}
		for _, each := range r.parts[name].Rows {
			cells := each.cells()
			cells[0] = "  " + cells[0]
			lines = append(lines, cells)
		}
	}
	widths := make([]int, len(columns))
	for _, line := range lines {
		for index, cell := range line {
			if len(line) > 1 {
				widths[index] = max(widths[index], utf8.RuneCountInString(cell))
			}
		}
	}
	fmt.Fprintln(to)
	for _, line := range lines {
		var text strings.Builder
		for index, cell := range line {
			gap := strings.Repeat(" ", max(0, widths[index]-utf8.RuneCountInString(cell)))
			if index == 0 || index >= 6 {
				text.WriteString(cell + gap + "  ")
			} else {
				text.WriteString(gap + cell + "  ")
			}
		}
		fmt.Fprintln(to, strings.TrimRight(text.String(), " "))
	}
	fmt.Fprintln(to, "\nA/A: what two equal things differed by, measured the same way in the same run.  *: the goal lies within the noise.")
	for _, name := range r.names {
		if found := r.parts[name]; found != nil {
			for _, each := range found.Rows {
				if each.Note != "" {
					fmt.Fprintf(to, "%s, %s: %s\n", name, each.What, each.Note)
				}
			}
		}
	}
	if r.bench.quick {
		fmt.Fprintln(to, "This was a smoke run: the figures mean nothing.")
	} else {
		fmt.Fprintln(to, "Raw figures: bench/raw/")
	}
}

// cells are a row as the table's columns.
func (r *row) cells() []string {
	cells := []string{r.What + ", " + r.Unit, "", number(r.Value), "", "", "", "", r.Verdict}
	if r.Unit == "" {
		cells[0] = r.What
	}
	if r.Base != nil {
		cells[1] = number(*r.Base)
		cells[3] = signed(r.Value - *r.Base)
		if *r.Base != 0 {
			cells[4] = fmt.Sprintf("%.3g", r.Value / *r.Base)
		}
	}
	if r.Noise != 0 && !math.IsNaN(r.Noise) {
		place := 2
		if r.Base != nil && (r.Goal == nil || r.Goal.Of == ofDifference) {
			place = 3
		} else if r.Base != nil && r.Goal.Of == ofRatio {
			place = 4
		}
		cells[place] += " ±" + number(r.Noise)
	}
	if r.Control != nil {
		cells[5] = signed(*r.Control)
	}
	if r.Goal != nil {
		cells[6] = r.Goal.String()
	}
	return cells
}

func (g *goal) String() string {
	sign := "≤ "
	if g.AtLeast {
		sign = "≥ "
	}
	switch g.Of {
	case ofDifference:
		return sign + signed(g.Limit)
	case ofRatio:
		return sign + number(g.Limit) + " ×"
	}
	return sign + number(g.Limit)
}

// number shows three digits that count.
func number(value float64) string {
	switch size := math.Abs(value); {
	case size == 0:
		return "0"
	case size < 0.0005:
		return fmt.Sprintf("%.0e", value)
	case size < 0.1:
		return fmt.Sprintf("%.3f", value)
	case 0.99 < size && size < 1: // a share of all: what is missing matters
		return fmt.Sprintf("%.5f", value)
	case size < 10:
		return fmt.Sprintf("%.2f", value)
	case size < 100:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

func signed(value float64) string {
	if value >= 0 {
		return "+" + number(value)
	}
	return number(value)
}

const (
	beginMark = "<!-- measured: written by bench/run.sh -->\n"
	endMark   = "<!-- end of measured -->\n"
)

// keep writes the table into results.md, between its marks; what people wrote around it stays.
func (r *report) keep(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return fmt.Errorf("%s has lost its marks %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+beginMark+r.markdown()+endMark+after), 0o644)
}

func (r *report) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s, %s.\n", r.started.UTC().Format("2006-01-02"), machine())
	for _, name := range r.names {
		fmt.Fprintf(&text, "\n### %s\n\n", name)
		if reason := r.skipped[name]; reason != "" {
			fmt.Fprintf(&text, "Skipped: %s\n", reason)
			continue
		}
		text.WriteString("| what | base | measured | difference | ratio | A/A | goal | |\n|---|---|---|---|---|---|---|---|\n")
		for _, each := range r.parts[name].Rows {
			text.WriteString("| " + strings.Join(each.cells(), " | ") + " |\n")
		}
		for _, each := range r.parts[name].Rows {
			if each.Note != "" {
				fmt.Fprintf(&text, "\n%s: %s\n", each.What, each.Note)
			}
		}
	}
	return text.String() + "\n"
}
