package main

import (
	"context"
	"log"
	"net"
	"net/http"

	"github.com/twitchtv/twirp/example"
)

// Calls of Twirp's own example, whose figures have the spans of net/http in them: one that is served, and one that is made.
// By hand these are all that there is (with otelhttp): Twirp has no contrib library.
func init() {
	more = append(more,
		func(with instruments) call {
			const message = "\x08\x0a" // ten inches
			request := posted("/twirp/twitch.twirp.example.Haberdasher/MakeHat", "application/protobuf", message)
			handler := with.handler(example.NewHaberdasherServer(haberdasher{}))
			served := repeated(request, func(listener net.Listener) error { return http.Serve(listener, handler) })
			return call{name: "twirp server", count: 500, spans: with.spans(2, 1), do: served}
		},
		func(with instruments) call {
			const message = "\x08\x0a\x12\x05green" // ten inches, and a color
			transport := with.transport(answering(answered("application/protobuf", message)))
			client := example.NewHaberdasherProtobufClient("http://127.0.0.1:8080", &http.Client{Transport: transport})
			return call{name: "twirp client", count: 500, spans: with.spans(2, 1), do: func(n int) {
				for ; n > 0; n-- {
					if _, err := client.MakeHat(context.Background(), &example.Size{Inches: 10}); err != nil {
						log.Fatal(err)
					}
				}
			}}
		})
}

// haberdasher makes the same hat for everybody.
type haberdasher struct{}

func (haberdasher) MakeHat(_ context.Context, size *example.Size) (*example.Hat, error) {
	return &example.Hat{Size: size.Inches, Color: "green"}, nil
}
