package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildPart: CPU time of builds, plain and woven, in caches of their own. Wall time depends on what else runs; CPU time
// (of the command and all it started) much less.
func buildPart(b *bench) (*outcome, error) {
	raw := map[string]any{}
	result := &outcome{Raw: raw}
	subjects := []subject{{name: "hello", folder: filepath.Join(b.folder, "hello"), target: ".", edited: "main.go", twice: true}}
	if !b.quick {
		subjects = append(subjects, subject{name: "shop", folder: filepath.Join(b.folder, "../examples/shop"), target: "./cmd/...",
			edited: "cmd/gateway/main.go"})
	}
	for _, each := range subjects {
		found, err := b.builds(&each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.name, err)
		}
		raw[each.name] = found
		result.Rows = append(result.Rows, found.rows(&each)...)
	}
	return result, nil
}

// subject is a program whose builds are measured.
type subject struct {
	name   string
	folder string
	target string
	edited string // the file that is edited
	twice  bool   // whether clean builds are measured twice, for a control
}

// builds are CPU seconds.
type builds struct {
	Clean        []float64 `json:"clean"`
	First        []float64 `json:"first"` // woven for the first time, the plain cache warm
	Unchanged    []float64 `json:"unchanged"`
	UnchangedTwo []float64 `json:"unchanged'"`
	UnchangedWov []float64 `json:"unchanged woven"`
	Edited       []float64 `json:"edited"`
	EditedTwo    []float64 `json:"edited'"`
	EditedWov    []float64 `json:"edited woven"`
	Size         float64   `json:"size"` // of all binaries, bytes
	SizeWoven    float64   `json:"size woven"`
}

// workshop is a copy of a subject with caches of its own.
type workshop struct {
	*bench
	*subject
	source, bin string
	environment []string
	original    []byte // the edited file, as it was
	edits       int
}

func (b *bench) newWorkshop(s *subject, number int) (*workshop, error) {
	root := filepath.Join(b.work, fmt.Sprintf("%s-%d", s.name, number))
	w := &workshop{bench: b, subject: s, source: filepath.Join(root, "source"), bin: filepath.Join(root, "bin")}
	w.environment = append(os.Environ(), "TANDEM_CACHE="+filepath.Join(root, "tandem"))
	if !b.quick { // a smoke run makes no clean builds and so can use the caches that are there
		w.environment = append(w.environment, "GOCACHE="+filepath.Join(root, "cache"))
	}
	if err := os.MkdirAll(w.bin, 0o755); err != nil {
		return nil, err
	}
	if output, err := exec.Command("cp", "-r", s.folder, w.source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	download := exec.CommandContext(b.ctx, "go", "mod", "download")
	download.Dir = w.source
	if output, err := download.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go mod download: %w\n%s", err, output)
	}
	return w, nil
}

// build builds the subject and says how much CPU time that took, in seconds.
func (w *workshop) build(woven bool) (float64, error) {
	folder, command := filepath.Join(w.bin, "plain"), []string{"go", "build"}
	if woven {
		folder, command = filepath.Join(w.bin, "woven"), []string{w.tandem, "go", "build"}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	command = append(command, "-o", folder+"/", w.target)
	run := exec.CommandContext(w.ctx, command[0], command[1:]...)
	run.Dir, run.Env = w.source, w.environment
	var output bytes.Buffer
	run.Stdout, run.Stderr = &output, &output
	if err := run.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, output.String())
	}
	return (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Seconds(), nil
}

// edit changes one file, each time differently.
func (w *workshop) edit() error {
	path := filepath.Join(w.source, w.edited)
	if w.original == nil {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.original = text
	}
	w.edits++
	changed := fmt.Sprintf("%s\nvar edits int\n\nfunc init() { edits = %d }\n", w.original, w.edits)
	return os.WriteFile(path, []byte(changed), 0o644)
}

func (b *bench) builds(s *subject) (*builds, error) {
	found := &builds{}
	var w *workshop
	for number := 0; number < 1 || s.twice && number < 2; number++ {
		var err error
		if w, err = b.newWorkshop(s, number); err != nil {
			return nil, err
		}
		if err := w.measured(&found.Clean, false); err != nil {
			return nil, err
		}
		b.say("build: %s, clean plain: %.1f CPU s", s.name, last(found.Clean))
		if err := w.measured(&found.First, true); err != nil {
			return nil, err
		}
		b.say("build: %s, first woven: %.1f CPU s", s.name, last(found.First))
	}
	var err error
	if found.Size, err = folderSize(filepath.Join(w.bin, "plain")); err != nil {
		return nil, err
	}
	if found.SizeWoven, err = folderSize(filepath.Join(w.bin, "woven")); err != nil {
		return nil, err
	}
	return found, w.again(found)
}

// again builds in random order what has not changed, and what has changed in one file.
func (w *workshop) again(found *builds) error {
	kinds := []struct {
		values *[]float64
		woven  bool
	}{{&found.Unchanged, false}, {&found.UnchangedTwo, false}, {&found.UnchangedWov, true}}
	for round := pick(w.bench, 6, 1); round > 0; round-- {
		for _, index := range rand.Perm(len(kinds)) {
			if err := w.measured(kinds[index].values, kinds[index].woven); err != nil {
				return err
			}
		}
	}
	kinds[0].values, kinds[1].values, kinds[2].values = &found.Edited, &found.EditedTwo, &found.EditedWov
	for round := pick(w.bench, 4, 1); round > 0; round-- {
		for _, index := range rand.Perm(len(kinds)) {
			if err := w.edit(); err != nil {
				return err
			}
			if err := w.measured(kinds[index].values, kinds[index].woven); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *workshop) measured(into *[]float64, woven bool) error {
	took, err := w.build(woven)
	*into = append(*into, took)
	return err
}

func last(values []float64) float64 { return values[len(values)-1] }

func folderSize(folder string) (size float64, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, err
		}
		size += float64(info.Size())
	}
	return size, nil
}

func (f *builds) rows(s *subject) []row {
	first := row{What: s.name + ": first woven, plain cache warm (base: clean plain)", Unit: "CPU s", Base: pointer(mean(f.Clean)),
		Value: mean(f.First), Goal: atMost(ofRatio, 0.7)}
	if len(f.Clean) > 1 {
		first.Control = pointer((f.Clean[1] - f.Clean[0]) / f.Clean[0])
		first.Noise = (f.First[1] - f.First[0]) / 2 / mean(f.Clean)
		first.Note = "A/A is the second clean plain build against the first, as a share."
	} else {
		first.Note = "one build each; hello's A/A stands for this one too."
	}
	compare := func(what string, base, twin, woven []float64, limit float64) row {
		pairs := make([]float64, len(woven))
		for index := range woven {
			pairs[index] = woven[index] - (base[index]+twin[index])/2
		}
		return row{What: s.name + ": " + what, Unit: "CPU s", Base: pointer(median(append(append([]float64(nil), base...), twin...))),
			Value: median(woven), Noise: interval(pairs), Control: pointer(median(twin) - median(base)), Goal: atMost(ofDifference, limit)}
	}
	rows := []row{first,
		compare("one file edited", f.Edited, f.EditedTwo, f.EditedWov, 0.3),
		compare("unchanged", f.Unchanged, f.UnchangedTwo, f.UnchangedWov, 0.15)}
	size := row{What: s.name + ": binaries", Unit: "MB", Base: pointer(f.Size / 1e6), Value: f.SizeWoven / 1e6}
	if s.name == "hello" {
		size.Goal = atMost(ofDifference, 0.5)
	}
	return append(rows, size)
}
