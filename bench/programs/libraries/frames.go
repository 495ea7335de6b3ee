package main

import (
	"bufio"
	"bytes"
	"log"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client of HTTP/2 that is nothing but frames, and always sends the same request.
type frames struct {
	*http2.Framer
	out     *bufio.Writer
	request []hpack.HeaderField
	body    []byte
	headers *hpack.Encoder
	block   bytes.Buffer
	stream  uint32
	unread  uint32 // bytes that were received and not yet granted again
}

func newFrames(conn net.Conn, body []byte, request []hpack.HeaderField) *frames {
	f := &frames{out: bufio.NewWriter(conn), body: body, request: request}
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
	for _, field := range f.request {
		field.Sensitive = field.Name == "traceparent" && f.stream > 0 // only the name is worth remembering
		f.headers.WriteField(field)
	}
}

func (f *frames) calls(n int) {
	for ; n > 0; n-- {
		if err := f.call(); err != nil {
			log.Fatal(err)
		}
	}
}

// call sends a request and waits for the end of the answer.
func (f *frames) call() error {
	if f.stream == 1 {
		f.encode()
	}
	f.stream = f.stream + 1 | 1
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: f.body == nil}); err != nil {
		return err
	}
	if f.body != nil {
		if err := f.WriteData(f.stream, true, f.body); err != nil {
			return err
		}
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
		ended = frame.StreamEnded()
	case *http2.HeadersFrame:
		ended = frame.StreamEnded()
	case *http2.RSTStreamFrame:
		log.Fatal("the stream was reset: ", frame.ErrCode)
	case *http2.GoAwayFrame:
		log.Fatal("the connection was closed: ", frame.ErrCode)
	}
	return ended, err
}
