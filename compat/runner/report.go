package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The goals of the builds: ratios to a clean plain build, seconds above plain, and how much larger a binary may be.
const (
	goalFirst     = 0.7
	goalWarm      = 0.25
	goalUnchanged = 0.15
	goalEdited    = 0.3
	goalWeave     = 1.0
	goalSize      = 0.03
	goalSmallSize = 500_000
	smallSize     = goalSmallSize / goalSize // below it, the second goal for size counts
)

// result is all that is kept of one subject.
type result struct {
	Name    string   `json:"name"`
	When    string   `json:"when"`
	Machine string   `json:"machine"`
	Version string   `json:"version"`
	Problem string   `json:"problem,omitempty"`
	Suite   *suite   `json:"suite,omitempty"`
	Program *program `json:"program,omitempty"`
}

// isSame: it could be looked at, and the woven side did what the plain one did.
func (r *result) isSame() bool {
	switch {
	case r.Problem != "":
		return false
	case r.Suite != nil:
		return len(r.Suite.Different) == 0
	}
	return len(r.Program.Different) == 0
}

func (r *result) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// table is what is known of all subjects.
type table struct {
	subjects []*subject
	results  map[string]*result
}

func (r *runner) readTable(subjects []*subject) (*table, error) {
	t := &table{subjects: subjects, results: map[string]*result{}}
	for _, s := range subjects {
		text, err := os.ReadFile(r.resultFile(s))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found := &result{}
		if err == nil {
			err = json.Unmarshal(text, found)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.resultFile(s), err)
		}
		t.results[s.Name] = found
	}
	return t, nil
}

// of are the subjects of a kind with their results, as far as there are any.
func (t *table) of(kind string) (found []*result) {
	for _, s := range t.subjects {
		if r := t.results[s.Name]; r != nil && s.Kind == kind && (r.Suite != nil || r.Program != nil) {
			found = append(found, r)
		}
	}
	return found
}

func (t *table) markdown() string {
	var text strings.Builder
	text.WriteString("\n### Tests, plain and woven\n\n" +
		"| what | version | tests | same | of these fail plain | flaky | on purpose | different | left out | packages woven | hooks (places) |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.of(kindSuite) {
		s := r.Suite
		fmt.Fprintf(&text, "| %s | %s | %d | %d | %d | %d | %d | %s | %d | %d | %d (%d) |\n", r.Name, r.Version, s.Tests,
			s.Passed+s.Skipped+len(s.FailedPlain), len(s.FailedPlain), len(s.Flaky), len(s.Intended), loud(len(s.Different)),
			len(s.LeftOut), s.Weave.Packages, len(s.Weave.Hooks), s.Weave.Places)
	}
	text.WriteString("\n### Programs: behaviour, and what is woven\n\n" +
		"| what | version | answers | different | packages | woven | hooks (places) | compiled by the first woven build | of these in the standard library | came out as in the plain build (CPU s) | compiled after `tandem warm` |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.of(kindProgram) {
		p := r.Program
		afterWarm := "not run"
		if p.AfterWarm.Packages > 0 {
			afterWarm = fmt.Sprint(p.AfterWarm.Compiled)
		}
		fmt.Fprintf(&text, "| %s | %s | %d | %s | %d | %d | %d (%d) | %d | %d | %d (%.1f) | %s |\n", r.Name, r.Version, p.Answers, loud(len(p.Different)),
			p.Clean.Packages, p.Weave.Packages, len(p.Weave.Hooks), p.Weave.Places, p.First.Compiled, p.First.Standard, p.First.Alike,
			p.First.InAlike, afterWarm)
	}
	text.WriteString("\n### Programs: CPU seconds of builds\n\n" +
		"| what | clean plain | first woven | share, goal ≤ 0.7 | `tandem warm` | first woven after it | share, goal ≤ 0.25 | unchanged plain, woven | more, goal ≤ 0.15 | one file edited plain, woven | more, goal ≤ 0.3 | weave from nothing, goal ≤ 1 |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.of(kindProgram) {
		fmt.Fprintf(&text, "| %s | %s |\n", r.Name, strings.Join(r.Program.costs(), " | "))
	}
	text.WriteString("\n### Programs: sizes\n\n" +
		"| what | binary plain, MB | more, goal ≤ 3 %, on small ones ≤ 0.5 MB | largest process of a clean plain build, MB | of the first woven | memory of the server plain, woven, MB |\n" +
		"|---|---|---|---|---|---|\n")
	for _, r := range t.of(kindProgram) {
		fmt.Fprintf(&text, "| %s | %s |\n", r.Name, strings.Join(r.Program.sizes(), " | "))
	}
	t.lists(&text)
	return text.String()
}

// loud marks what must not be.
func loud(count int) string {
	if count == 0 {
		return "0"
	}
	return fmt.Sprintf("**%d**", count)
}

func judged(text string, met bool) string {
	if met {
		return text
	}
	return text + " missed"
}

func (p *program) costs() []string {
	share := func(value, goal float64) string {
		ratio := value / p.Clean.CPU
		return judged(fmt.Sprintf("%.2f", ratio), ratio <= goal)
	}
	more := func(pair [2][]float64, goal float64) string {
		difference := median(pair[woven]) - median(pair[plain])
		return judged(fmt.Sprintf("%+.2f", difference), difference <= goal)
	}
	both := func(pair [2][]float64) string {
		return fmt.Sprintf("%.2f, %.2f", median(pair[plain]), median(pair[woven]))
	}
	weaving := p.Cold.CPU - median(p.Unchanged[plain])
	warm := []string{"not run", "", ""}
	if p.AfterWarm.Packages > 0 {
		warm = []string{seconds(p.Warm.CPU), seconds(p.AfterWarm.CPU), share(p.AfterWarm.CPU, goalWarm)}
	}
	return []string{
		seconds(p.Clean.CPU), seconds(p.First.CPU), share(p.First.CPU, goalFirst), warm[0], warm[1], warm[2],
		both(p.Unchanged), more(p.Unchanged, goalUnchanged), both(p.Edited), more(p.Edited, goalEdited),
		judged(fmt.Sprintf("%.2f", weaving), weaving <= goalWeave),
	}
}

func (p *program) sizes() []string {
	more := float64(p.Size[woven] - p.Size[plain])
	base := float64(p.Size[plain])
	met := more <= goalSize*base || base < smallSize && more <= goalSmallSize
	running := "no server"
	if p.Running[plain] > 0 {
		running = fmt.Sprintf("%s, %s", megabytes(p.Running[plain]), megabytes(p.Running[woven]))
	}
	return []string{
		megabytes(p.Size[plain]), judged(fmt.Sprintf("%+.2f MB, %+.1f %%", more/1e6, 100*more/base), met),
		megabytes(p.Clean.Memory), megabytes(p.First.Memory), running,
	}
}

func seconds(value float64) string { return fmt.Sprintf("%.1f", value) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }

// lists are what needs words: differences, flaky tests, what was left out and what could not be run.
func (t *table) lists(text *strings.Builder) {
	section := func(title string, lines func(*result) []string) {
		var all []string
		for _, s := range t.subjects {
			if r := t.results[s.Name]; r != nil {
				for _, line := range lines(r) {
					all = append(all, fmt.Sprintf("* %s: %s\n", r.Name, line))
				}
			}
		}
		if len(all) > 0 {
			fmt.Fprintf(text, "\n### %s\n\n%s", title, strings.Join(all, ""))
		}
	}
	section("Different", func(r *result) (lines []string) {
		if r.Suite != nil {
			for _, d := range r.Suite.Different {
				lines = append(lines, fmt.Sprintf("`%s` %s", d.Test, d.ends()))
			}
		}
		if r.Program != nil {
			for _, d := range r.Program.Different {
				lines = append(lines, fmt.Sprintf("`%s` is answered differently", d.Step))
			}
		}
		return lines
	})
	section("Could not be run", func(r *result) []string {
		if r.Problem == "" {
			return nil
		}
		first, _, _ := strings.Cut(r.Problem, "\n")
		return []string{first}
	})
	section("Different on purpose: with spans off these pass", func(r *result) (lines []string) {
		if r.Suite != nil {
			for _, each := range r.Suite.Intended {
				lines = append(lines, fmt.Sprintf("`%s`: %s", each.Test, each.Reason))
			}
		}
		return lines
	})
	section("Flaky: alone they end alike, or not even plain always in one way", func(r *result) (lines []string) {
		if r.Suite != nil {
			for _, d := range r.Suite.Flaky {
				lines = append(lines, fmt.Sprintf("`%s` %s", d.Test, d.ends()))
			}
		}
		return lines
	})
	section("Left out, on both sides", func(r *result) (lines []string) {
		if r.Suite != nil {
			for _, each := range r.Suite.LeftOut {
				lines = append(lines, fmt.Sprintf("`%s`: %s", each.Test, each.Reason))
			}
		}
		return lines
	})
	section("Hooks that should have matched and did not", func(r *result) []string {
		switch {
		case r.Suite != nil:
			return r.Suite.Weave.Missed
		case r.Program != nil:
			return r.Program.Weave.Missed
		}
		return nil
	})
	var missing []string
	for _, s := range t.subjects {
		if t.results[s.Name] == nil {
			missing = append(missing, s.Name)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(text, "\nNot run yet: %s.\n", strings.Join(missing, ", "))
	}
}

func (d *difference) ends() string {
	return fmt.Sprintf("plain %s, woven %s; alone plain %s, woven %s", d.First[plain], d.First[woven],
		strings.Join(d.Again[plain], " "), strings.Join(d.Again[woven], " "))
}

const (
	beginMark = "<!-- measured: written by compat/run.sh -->\n"
	endMark   = "<!-- end of measured -->\n"
)

// keep writes the table into results.md, between its marks; what people wrote around it stays.
func (t *table) keep(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !found || !ended {
		return fmt.Errorf("%s has lost its marks %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(string(before)+beginMark+t.markdown()+endMark+string(after)), 0o644)
}

// machine says on what kind of machine this runs, without naming it.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(text), "\n") {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	version, _ := exec.Command("go", "env", "GOVERSION").Output()
	return fmt.Sprintf("%d cores (%s), Linux %s, %s", runtime.NumCPU(), model, kernel, strings.TrimSpace(string(version)))
}
