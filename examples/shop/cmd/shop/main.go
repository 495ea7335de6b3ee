// Shop starts all services of the shop, prints where they are and stops them on
// Ctrl-C. Given a command ("shop -- loadgen --requests 100"), it runs that with
// SHOP_GATEWAY_ADDR set, stops the services after it and exits with its code.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"example.com/shop/internal/launch"
	"example.com/shop/internal/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context) (code int, err error) {
	flags := service.NewFlags("shop")
	addrs := map[string]*string{}
	for _, name := range slices.Concat(launch.Services, launch.Unwoven) {
		addrs[name] = flags.Env("addr-"+name, launch.AddrVariable(name), "127.0.0.1:0",
			"address of the "+name+" service, port 0 for any that is free")
	}
	binDir := flags.String("bin-dir", "", "folder of the services (default: where shop itself lies)")
	dataDir := flags.String("data-dir", "", "folder of databases and invoices (default: a temporary one)")
	logDir := flags.String("log-dir", "", "write a log for each service there (default: all to standard error)")
	withUnwoven := flags.Bool("with-unwoven", false, "also start pricing and tax, which ./cmd/... does not build (needs python3)")
	asJSON := flags.Bool("json", false, "print the addresses as one line of JSON")
	_ = flags.Parse(os.Args[1:]) // It exits on errors.

	options := launch.Options{BinDir: *binDir, DataDir: *dataDir, LogDir: *logDir, Addrs: map[string]string{}}
	for name, addr := range addrs {
		options.Addrs[name] = *addr
	}
	if *withUnwoven {
		if options.Python, err = exec.LookPath("python3"); err != nil {
			fmt.Fprintln(os.Stderr, "shop: without pricing and tax:", err)
		}
	}
	cleanUp, err := fillIn(&options)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()

	shop, err := launch.Start(ctx, options)
	if err != nil {
		return 1, err
	}
	announce(shop, options.DataDir, *asJSON)
	code, err = use(ctx, shop, flags.Args())
	if failure := shop.Stop(); failure != nil {
		return 1, errors.Join(err, failure)
	}
	return code, err
}

// fillIn chooses the folders that were not given. The function it returns
// removes what is temporary.
func fillIn(options *launch.Options) (cleanUp func() error, err error) {
	if options.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		options.BinDir = filepath.Dir(self)
	}
	if options.DataDir != "" {
		return func() error { return nil }, nil
	}
	options.DataDir, err = os.MkdirTemp("", "shop-")
	return func() error { return os.RemoveAll(options.DataDir) }, err
}

// announce prints where the services are: the line that scripts wait for.
func announce(shop *launch.Shop, dataDir string, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
			"addresses": shop.Addrs,
			"pids":      shop.Pids(),
			"data_dir":  dataDir,
		})
		return
	}
	for _, name := range slices.Sorted(maps.Keys(shop.Addrs)) {
		fmt.Printf("%-10s %s\n", name, shop.Addrs[name])
	}
	fmt.Printf("try        curl http://%s/products\n", shop.Addrs["gateway"])
}

// use runs the command or, when there is none, waits for the signal to stop.
func use(ctx context.Context, shop *launch.Shop, command []string) (code int, err error) {
	if len(command) == 0 {
		if err := shop.Wait(ctx); err != nil {
			return 1, err
		}
		return 0, nil
	}
	commandCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	died := make(chan error, 1)
	go func() {
		died <- shop.Wait(commandCtx)
		cancel()
	}()
	err = runCommand(commandCtx, command, launch.AddrVariable("gateway")+"="+shop.Addrs["gateway"])
	cancel()
	var exit *exec.ExitError
	switch failure := <-died; {
	case failure != nil:
		return 1, failure
	case ctx.Err() != nil:
		return 1, errors.New("interrupted")
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil // The command has said why.
	case err != nil:
		return 1, err
	}
	return 0, nil
}

func runCommand(ctx context.Context, command []string, env ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	return cmd.Run()
}
