package main

import (
	"bufio"
	"bytes"
	"log"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"
)

// served is a unary call that is served: its client is nothing but frames, and sends a traceparent whether the program is
// woven or not. In the call of both sides above it is we who send it, and what it costs to receive is part of the difference.
func served(with instruments) call {
	listener := bufconn.Listen(1 << 16)
	serveHealth(listener, with)
	conn, err := listener.Dial()
	if err != nil {
		log.Fatal(err)
	}
	client := newFrames(conn)
	return call{name: "grpc server", count: 500, spans: 1, decided: true, do: func(n int) {
		for ; n > 0; n-- {
			if err := client.call(); err != nil {
				log.Fatal(err)
			}
		}
	}}
}

// frames is that client.
type frames struct {
	*http2.Framer
	out     *bufio.Writer
	headers *hpack.Encoder
	block   bytes.Buffer
	stream  uint32
	unread  uint32 // bytes that were received and not yet granted again
}

func newFrames(conn net.Conn) *frames {
	f := &frames{out: bufio.NewWriter(conn)}
	f.Framer, f.headers = http2.NewFramer(f.out, bufio.NewReader(conn)), hpack.NewEncoder(&f.block)
	f.SetReuseFrames()
	f.out.WriteString(http2.ClientPreface)
	f.WriteSettings()
	f.encode()
	return f
}

// encode makes the headers of a call. Made again they are but references to the connection's table.
func (f *frames) encode() {
	f.block.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/grpc.health.v1.Health/Check"},
		{Name: ":authority", Value: "health.example.com:8080"}, {Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "grpc-go/1.83.2"}, {Name: "te", Value: "trailers"},
		{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Sensitive: f.stream > 0},
	} {
		f.headers.WriteField(field)
	}
}

var emptyMessage = make([]byte, 5)

// call sends a request and waits for the end of the answer.
func (f *frames) call() error {
	if f.stream == 1 {
		f.encode()
	}
	f.stream = f.stream + 1 | 1
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	if err := f.WriteData(f.stream, true, emptyMessage); err != nil {
		return err
	}
	for {
		if err := f.out.Flush(); err != nil {
			return err
		}
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		if ended, err := f.take(frame); ended || err != nil {
			return err
		}
	}
}

// take does what HTTP/2 asks for, and says whether the stream has ended.
func (f *frames) take(frame http2.Frame) (ended bool, err error) {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			err = f.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			err = f.WritePing(true, frame.Data)
		}
	case *http2.DataFrame:
		if f.unread += frame.Header().Length; f.unread > 1<<14 {
			err, f.unread = f.WriteWindowUpdate(0, f.unread), 0
		}
	case *http2.HeadersFrame:
		ended = frame.StreamEnded()
	case *http2.RSTStreamFrame:
		log.Fatal("the stream was reset: ", frame.ErrCode)
	case *http2.GoAwayFrame:
		log.Fatal("the connection was closed: ", frame.ErrCode)
	}
	return ended, err
}
