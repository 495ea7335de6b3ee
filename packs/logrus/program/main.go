// Program logrus logs with logrus in all the ways that Tandem's pack has to tell apart, inside and outside of a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sirupsen/logrus"
)

var logger = logrus.New()

func main() {
	logger.SetOutput(os.Stdout)
	logger.SetFormatter(&logrus.JSONFormatter{DisableTimestamp: true})
	logger.Info("outside")
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
	logger.WithFields(logrus.Fields{
		"bool": true, "int": -1, "float": 0.5, "took": 1500 * time.Millisecond, "strings": []string{"a", "b"}, "map": map[string]int{"x": 1},
		"struct": struct{ Name string }{"größe"}, "nothing": nil,
	}).WithError(errors.New("no")).Info("kinds")
	logger.Debug("nobody sees this")
	entry := logger.WithField("with", 1)
	entry.Warnf("formatted %d", 2)
	entry.Error("the same entry again")
	logger.WithContext(r.Context()).Info("with context")
	logger.WithField("trace_id", "mine").Info("own id")
	text := logrus.New()
	text.SetOutput(os.Stdout)
	text.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	text.AddHook(hook{})
	text.Info("text, with a hook")
	func() {
		defer func() { recover() }()
		logger.Panic("panics")
	}()
}

type hook struct{}

func (hook) Levels() []logrus.Level { return logrus.AllLevels }

func (hook) Fire(entry *logrus.Entry) error {
	entry.Data["hooked"] = entry.Data["trace_id"] != nil
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
