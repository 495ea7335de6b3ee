// Program log writes lines with the log package in all the ways that Tandem's pack has to tell apart, inside and outside
// of a request.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	log.Print("outside")

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

func logs(http.ResponseWriter, *http.Request) {
	log.Printf("number %d", 1)
	own := log.New(os.Stdout, "[cart] ", log.Lmsgprefix)
	own.Println("with a prefix")
	own.Print("two\nlines\n")
	helper(own)
	func() {
		defer func() { recover() }()
		own.Panicln("panics")
	}()
	log.New(io.Discard, "", 0).Print("nobody sees this")
	log.New(&wrapper{os.Stdout}, "", 0).Print("through somebody's writer")

	slog.Info("of slog, through log", "key", 1) // the default handler of slog writes with log
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime})))
	log.Print("of log, through slog")
	slog.NewLogLogger(slog.Default().Handler(), slog.LevelError).Print("of log, as an error")
}

// helper writes for its caller.
func helper(logger *log.Logger) {
	check(logger.Output(2, "of the caller"))
}

// wrapper is a writer that writes lines of its own.
type wrapper struct{ out io.Writer }

func (w *wrapper) Write(line []byte) (int, error) {
	log.New(w.out, "", 0).Print("wrapped: ", string(line))
	return len(line), nil
}

func noTime(groups []string, attribute slog.Attr) slog.Attr {
	if attribute.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return attribute
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
