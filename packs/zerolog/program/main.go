// Program zerolog logs with zerolog in all the ways that Tandem's pack has to tell apart, inside and outside of a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/rs/zerolog"
)

var logger = zerolog.New(os.Stdout).Level(zerolog.InfoLevel)

func main() {
	logger.Info().Msg("outside")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(logs)}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String())
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
}

func logs(_ http.ResponseWriter, r *http.Request) {
	logger.Info().Bool("bool", true).Int("int", -1).Uint64("large", math.MaxUint64).Float64("float", 0.5).
		Dur("took", 1500*time.Millisecond).Time("at", time.Unix(1700000000, 0).UTC()).Err(errors.New("no")).
		Strs("strings", []string{"a", "b"}).Interface("map", map[string]int{"x": 1}).
		Dict("group", zerolog.Dict().Str("inner", "größe").Dict("deep", zerolog.Dict().Int("n", 2))).
		AnErr("nothing", nil).Msg("kinds")
	logger.Debug().Msg("nobody sees this")
	with := logger.With().Int("with", 1).Logger()
	with.Warn().Caller().Msgf("formatted %d", 2)
	inContext(logger.Error(), r.Context()).Send()
	logger.Log().Msg("without a level")
	logger.Info().Str("trace_id", "mine").Msg("own id")
	hooked := logger.Hook(zerolog.HookFunc(func(event *zerolog.Event, _ zerolog.Level, _ string) { event.Int("hooked", 3) }))
	hooked.Info().Msg("with a hook")
	discarding := logger.Hook(zerolog.HookFunc(func(event *zerolog.Event, _ zerolog.Level, _ string) { event.Discard() }))
	discarding.Info().Msg("nobody sees this")
	console := zerolog.New(consoleWriter())
	console.Info().Int("number", 4).Msg("console")
	nobody := zerolog.Nop()
	nobody.Error().Msg("nobody sees this")
	log.SetFlags(0)
	log.SetOutput(logger)
	log.Print("of log")
	func() {
		defer func() { recover() }()
		logger.Panic().Msg("panics")
	}()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
