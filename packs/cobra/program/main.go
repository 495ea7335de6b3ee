// Commands that do something, fail, are called wrongly, run others, panic, and end the program, all in one program: it is
// several command lines in turn.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

func main() {
	run("remote", "add", "secret-argument", "--token", "secret-flag")
	run("fail", "secret-argument")
	run("remote", "add", "--unknown=secret-flag")
	run("remote", "add")
	run("remote")
	run("twice")
	run("crash")
	run("exit")
}

func run(args ...string) {
	root := &cobra.Command{Use: "app", SilenceUsage: true, SilenceErrors: true}
	remote := &cobra.Command{Use: "remote"}
	add := &cobra.Command{Use: "add NAME", Args: cobra.ExactArgs(1), PreRun: child, Run: child}
	add.Flags().String("token", "", "")
	remote.AddCommand(add)
	root.AddCommand(remote,
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return errors.New("no such thing") }},
		&cobra.Command{Use: "twice", RunE: func(*cobra.Command, []string) error { run("remote", "add", "x"); return nil }},
		&cobra.Command{Use: "crash", Run: func(*cobra.Command, []string) { panic("it broke") }},
		&cobra.Command{Use: "exit", Run: func(*cobra.Command, []string) { os.Exit(0) }},
	)
	root.SetArgs(args)
	root.SetOut(os.Stderr)
	defer func() {
		if value := recover(); value != nil {
			fmt.Println("panic:", value)
		}
	}()
	fmt.Println(args[0], root.Execute() != nil)
}

// child runs a program, whose span lies below the command's.
func child(*cobra.Command, []string) {
	if err := exec.Command("true").Run(); err != nil {
		panic(err)
	}
}
