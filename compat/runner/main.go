// Command runner builds programs and libraries that nobody here wrote, plain and woven, compares what they do, and
// records what the builds cost.
//
// What always holds: both sides get the same sources, flags, environment and ports, one after the other; a difference
// counts only when repeating it alone shows it again. Every subject leaves one file, results/<name>.json, so that a
// whole run can be spread over days; the table is made from those files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	folder := flag.String("folder", ".", "the compat folder")
	tandem := flag.String("tandem", "tandem", "the tandem binary")
	work := flag.String("work", "", "the folder for sources and caches (default: work, in the compat folder)")
	withoutWarm := flag.Bool("without-warm", false, "leave out tandem warm and the build after it, which cost as much again as the first woven build")
	table := flag.Bool("table", false, "make the table from the results that are there, and run nothing")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: compat/run.sh TANDEM [-without-warm] [-table] [NAME…]")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &runner{ctx: ctx, folder: *folder, tandem: *tandem, work: *work, withoutWarm: *withoutWarm}
	if r.work == "" {
		r.work = filepath.Join(*folder, "work")
	}
	if err := r.run(flag.Args(), *table); err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

// runner is one run over some subjects.
type runner struct {
	ctx    context.Context
	folder string // compat/
	tandem string // the tandem binary
	work   string // sources and caches of the subject that is being looked at

	withoutWarm bool
}

func (r *runner) run(only []string, onlyTable bool) error {
	subjects, err := readSubjects(filepath.Join(r.folder, "programs.json"))
	if err != nil {
		return err
	}
	if r.work, err = filepath.Abs(r.work); err != nil {
		return err
	}
	chosen, err := choose(subjects, only)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range chosen {
		if onlyTable {
			break
		}
		found, err := r.look(s)
		if r.ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			found.Problem = err.Error()
			r.say("%s: %v", s.Name, err)
		}
		if err := found.write(r.resultFile(s)); err != nil {
			return err
		}
		if !found.isSame() {
			failed = errors.New("something differs, or could not be run: see the table")
		}
	}
	t, err := r.readTable(subjects)
	if err != nil {
		return err
	}
	fmt.Print(t.markdown())
	if err := t.keep(filepath.Join(r.folder, "results.md")); err != nil {
		return err
	}
	return failed
}

// look runs one subject and removes what it needed, but not what it found.
func (r *runner) look(s *subject) (*result, error) {
	started := time.Now()
	found := &result{Name: s.Name, When: started.UTC().Format("2006-01-02"), Machine: machine()}
	r.say("%s: %s", s.Name, s.What)
	w, err := r.prepare(s)
	if err != nil {
		return found, err
	}
	defer w.remove()
	found.Version = w.version
	if s.Kind == kindSuite {
		found.Suite, err = w.suite()
	} else {
		found.Program, err = w.program()
	}
	r.say("%s: done in %.0f s", s.Name, time.Since(started).Seconds())
	return found, err
}

func (r *runner) resultFile(s *subject) string {
	return filepath.Join(r.folder, "results", s.Name+".json")
}

func (r *runner) say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "compat: "+format+"\n", values...)
}
