// Package launch runs the shop's services as child processes. Whatever happens,
// none of them outlives the launcher.
package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/shop/unwoven/tax"
)

// Services lists the shop's services in the order in which they start. They stop
// in the reverse order, so that each can finish its work with those it calls.
var Services = []string{"inventory", "orders", "worker", "gateway"}

// Unwoven lists the services that a build of ./cmd/... does not make: pricing, which is
// built on its own, and tax, a program in Python.
var Unwoven = []string{"tax", "pricing"}

// startTimeout bounds how long the services may take to become healthy.
const startTimeout = 30 * time.Second

// Options say what to run.
type Options struct {
	// BinDir holds an executable for each service.
	BinDir string
	// DataDir is where the services keep their databases and files.
	DataDir string
	// LogDir receives a log for each service; when empty they all write to
	// standard error.
	LogDir string
	// Addrs are host:port by service; port 0 means any that is free.
	Addrs map[string]string
	// Python runs the services in Python; when empty, there are none, nor those that
	// need them.
	Python string
}

// services lists those of the options, in the order in which they start.
func (o Options) services() []string {
	if o.Python == "" {
		return Services
	}
	return slices.Concat(Unwoven, Services)
}

// command is what starts a service.
func (o Options) command(service string) []string {
	if service == "tax" {
		return []string{o.Python, "-c", tax.Source}
	}
	return []string{filepath.Join(o.BinDir, service)}
}

// Shop is the running services.
type Shop struct {
	Addrs     map[string]string
	services  []string
	processes []*process
	exited    chan *process
}

// Start starts all services and waits until they are healthy. When one does not
// get there, those that were started are stopped again.
func Start(ctx context.Context, options Options) (*Shop, error) {
	services := options.services()
	sockets, err := listen(ctx, services, options.Addrs)
	defer closeAll(sockets)
	if err != nil {
		return nil, err
	}
	shop := &Shop{Addrs: map[string]string{}, services: services, exited: make(chan *process, len(services))}
	for service, socket := range sockets {
		shop.Addrs[service] = socket.addr
	}
	if err := shop.start(ctx, options, sockets); err != nil {
		shop.Stop()
		return nil, err
	}
	return shop, nil
}

func (s *Shop) start(ctx context.Context, options Options, sockets map[string]socket) error {
	env := append(os.Environ(), "SHOP_DATA_DIR="+options.DataDir)
	for service, addr := range s.Addrs {
		env = append(env, AddrVariable(service)+"="+addr)
	}
	for _, service := range s.services {
		log, err := openLog(options.LogDir, service)
		if err != nil {
			return err
		}
		p, err := startProcess(service, options.command(service), env, sockets[service].file, log)
		if err != nil {
			return err
		}
		s.processes = append(s.processes, p)
		go func() {
			<-p.done
			s.exited <- p
		}()
	}
	closeAll(sockets) // When a service ends, its callers must notice.
	return s.awaitHealth(ctx)
}

// AddrVariable is the environment variable that holds the service's address.
func AddrVariable(service string) string {
	return "SHOP_" + strings.ToUpper(service) + "_ADDR"
}

// openLog returns nil when the service shall write to standard error.
func openLog(dir, service string) (*os.File, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(dir, service+".log"))
}

// socket listens for a service that has yet to start.
type socket struct {
	addr string
	file *os.File
}

// listen listens for all services, which are handed the sockets: between a port
// that was found free and the service, no other program can come. Plain TCP, since that is what a
// what a service in another language would listen with; Go's default is Multipath TCP.
func listen(ctx context.Context, services []string, addrs map[string]string) (map[string]socket, error) {
	sockets := make(map[string]socket, len(services))
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	for _, service := range services {
		listener, err := config.Listen(ctx, "tcp", addrs[service])
		if err != nil {
			return sockets, fmt.Errorf("address of %s: %w", service, err)
		}
		file, err := listener.(*net.TCPListener).File()
		listener.Close() // The file is a duplicate.
		if err != nil {
			return sockets, fmt.Errorf("address of %s: %w", service, err)
		}
		sockets[service] = socket{listener.Addr().String(), file}
	}
	return sockets, nil
}

func closeAll(sockets map[string]socket) {
	for _, socket := range sockets {
		socket.file.Close() // Closed before: no harm.
	}
}

// Pids returns the process id of each service.
func (s *Shop) Pids() map[string]int {
	pids := make(map[string]int, len(s.processes))
	for _, p := range s.processes {
		pids[p.service] = p.cmd.Process.Pid
	}
	return pids
}

// Wait returns when the context ends, or with an error when a service does.
func (s *Shop) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case p := <-s.exited:
		return p.unexpected()
	}
}

// Stop stops all services and returns what went wrong with those that still ran.
func (s *Shop) Stop() error {
	var failures []error
	for _, p := range slices.Backward(s.processes) {
		failures = append(failures, p.stop())
	}
	return errors.Join(failures...)
}
