// Loadgen plays customers of the shop, counts what they got and prints it. It
// exits with 1 when a request got another status than it should.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/shop/internal/load"
	"example.com/shop/internal/service"
)

func main() {
	flags := service.NewFlags("loadgen")
	gateway := flags.Env("gateway", "SHOP_GATEWAY_ADDR", "127.0.0.1:8080", "address of the gateway")
	var options load.Options
	flags.IntVar(&options.Requests, "requests", 500, "how many requests, 0 for no limit")
	flags.DurationVar(&options.Duration, "duration", time.Minute, "for how long to start requests, 0 for no limit")
	flags.Float64Var(&options.Rate, "rate", 100, "requests started a second, 0 for as fast as they are answered")
	flags.IntVar(&options.Concurrency, "concurrency", 8, "customers at a time")
	flags.Uint64Var(&options.Seed, "seed", 1, "the same seed plays the same customers")
	asJSON := flags.Bool("json", false, "print one line of JSON instead of a table")
	_ = flags.Parse(os.Args[1:]) // It exits on errors.
	options.Gateway = *gateway
	if options.Concurrency < 1 || options.Requests <= 0 && options.Duration <= 0 {
		fmt.Fprintln(os.Stderr, "loadgen: it takes a --concurrency of 1 or more, and --requests or --duration")
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report := load.Run(ctx, options)
	stop()
	write := report.WriteText
	if *asJSON {
		write = report.WriteJSON
	}
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
	if report.Unexpected > 0 {
		os.Exit(1)
	}
}
