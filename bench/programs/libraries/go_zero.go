package main

import (
	"log"
	"net"
	"net/http"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/stat"
	"github.com/zeromicro/go-zero/rest"

	"example.com/bench/programs/serve"
)

func init() {
	more = append(more, func(with instruments) call {
		logx.Disable()
		stat.DisableLog()
		var conf rest.RestConf
		conf.Host, conf.Port, conf.MaxBytes, conf.Middlewares.Recover, conf.Middlewares.MaxBytes = "127.0.0.1", 8080, 1<<20, true, true
		conf.Telemetry.Disabled = true       // it would take the place of the SDK's provider
		conf.Middlewares.Trace = with.byHand // go-zero's own, of OpenTelemetry
		server := rest.MustNewServer(conf)
		server.AddRoute(rest.Route{Method: http.MethodGet, Path: "/:name", Handler: serve.Hello})
		handler, err := rest.NewServerless(server) // all of it but the listening
		if err != nil {
			log.Fatal(err)
		}
		return requested("go-zero", func(listener net.Listener) error { return http.Serve(listener, http.HandlerFunc(handler.Serve)) })
	})
}
