// Makes and serves calls of Twirp in all ways that the pack tells apart, over Twirp's own example of generated code.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/twitchtv/twirp"
	"github.com/twitchtv/twirp/example"
)

// What a size stands for.
const (
	good = iota + 1
	refused
	failing
	foreign
	panicking
	nothing
	hooked
)

// haberdasher answers as the size says.
type haberdasher struct{}

func (haberdasher) MakeHat(ctx context.Context, size *example.Size) (*example.Hat, error) {
	switch size.Inches {
	case refused:
		return nil, twirp.InvalidArgumentError("inches", "are secret")
	case failing:
		return nil, twirp.NewError(twirp.Unavailable, "no secret hats today")
	case foreign:
		return nil, errors.New("a secret error")
	case panicking:
		panic("secret")
	case nothing:
		return nil, nil
	}
	return &example.Hat{Size: size.Inches, Color: "secret"}, nil
}

func main() {
	address := serve(example.NewHaberdasherServer(haberdasher{}))
	ctx := context.Background()
	client := example.NewHaberdasherProtobufClient(address, http.DefaultClient)
	call(ctx, "protobuf", client, good)
	call(ctx, "refused", client, refused)
	call(ctx, "failing", client, failing)
	call(ctx, "an error of its own", client, foreign)
	call(ctx, "panics", client, panicking)
	http.DefaultClient.CloseIdleConnections() // the server has closed that connection
	call(ctx, "no answer", client, nothing)
	call(ctx, "json", example.NewHaberdasherJSONClient(address, http.DefaultClient), good)
	call(ctx, "wrong route", example.NewHaberdasherJSONClient(address, http.DefaultClient, twirp.WithClientPathPrefix("/elsewhere")), good)
	call(ctx, "nobody there", example.NewHaberdasherProtobufClient("http://127.0.0.1:1", http.DefaultClient), good)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	call(gone, "cancelled, no span", example.NewHaberdasherProtobufClient(address, http.DefaultClient), good)
	hooks(ctx)
	for _, server := range servers {
		server.Shutdown(ctx)
	}
}

// hooks has client and server with hooks of their own, one of which refuses.
func hooks(ctx context.Context) {
	address := serve(example.NewHaberdasherServer(haberdasher{}, twirp.WithServerPathPrefix("/hats"), twirp.WithServerHooks(&twirp.ServerHooks{
		RequestRouted: func(ctx context.Context) (context.Context, error) {
			return ctx, twirp.Unauthenticated.Error("secret")
		},
	})))
	received := 0
	client := example.NewHaberdasherProtobufClient(address, http.DefaultClient, twirp.WithClientPathPrefix("/hats"), twirp.WithClientHooks(&twirp.ClientHooks{
		Error: func(context.Context, twirp.Error) { received++ },
	}))
	call(ctx, "refused by a hook", client, hooked)
	fmt.Println(received, "error seen by the program's own hook")
}

// servers are to be shut down, so that their spans have ended.
var servers []*http.Server

func serve(handler http.Handler) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: handler}
	servers = append(servers, server)
	go server.Serve(listener)
	return "http://" + listener.Addr().String()
}

func call(ctx context.Context, what string, client example.Haberdasher, size int32) {
	_, err := client.MakeHat(ctx, &example.Size{Inches: size})
	fmt.Printf("%-28s %v\n", what, err != nil)
}
