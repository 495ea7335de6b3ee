package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// overHTTP does by HTTP what is another way there.
func overHTTP(ctx context.Context) {
	address := os.Getenv("CLICKHOUSE_HTTP_ADDR")
	if address == "" {
		log.Fatal("CLICKHOUSE_HTTP_ADDR is not set")
	}
	address = front(address)
	overSQL(ctx, "http://"+address)
	natively(ctx, address)
}

// front stands before a server of 2018, which is what Debian has: it has ClickHouse do all that the library asks for, in words
// that it knew then. It returns its address. It is no http.Server, so that it has no spans.
func front(server string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			client, err := listener.Accept()
			must(err)
			go func() {
				defer client.Close()
				requests := bufio.NewReader(client)
				for {
					request, err := http.ReadRequest(requests)
					if err != nil {
						return
					}
					must(forward(request, server, client))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func forward(request *http.Request, server string, client io.Writer) error {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	query := request.URL.Query()
	isHello := false
	switch text := string(body); {
	case text == "SELECT displayName(), version(), revision(), timezone()":
		// Revision 0 is the form of data that this server sends to everybody.
		text, isHello = "SELECT 'one', version(), toUInt32(0), timezone()", true
		body = []byte(text)
	case strings.HasPrefix(text, "DESCRIBE TABLE "):
		table := strings.Trim(strings.TrimPrefix(text, "DESCRIBE TABLE "), "`")
		body = []byte("SELECT name, type, default_kind, default_expression, '', '', '' FROM system.columns WHERE table = '" + table + "'")
	}
	query.Del("client_protocol_version")
	asked := &http.Request{
		Method: request.Method, URL: &url.URL{Scheme: "http", Host: server, Path: "/", RawQuery: query.Encode()},
		Host: server, Header: request.Header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Close: true,
	}
	connection, err := net.Dial("tcp", server)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := asked.Write(connection); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), asked)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if isHello {
		answer = inNewForm(answer)
	}
	response.Header.Del("Transfer-Encoding")
	given := &http.Response{
		StatusCode: response.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)),
	}
	return given.Write(client)
}

// inNewForm gives a block of data the form that the library expects before it knows the server's revision: information about the
// block before it, and whether its values are in a special form after the type of each column.
func inNewForm(old []byte) []byte {
	const columns = 4
	made := append([]byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}, old[:2]...) // how many columns and rows
	for at, column := 2, 0; column < columns; column++ {
		name := 1 + int(old[at])
		kind := 1 + int(old[at+name])
		made = append(append(made, old[at:at+name+kind]...), 0)
		at += name + kind
		value := 4 // a number
		if column != 2 {
			value = 1 + int(old[at]) // a text
		}
		made = append(made, old[at:at+value]...)
		at += value
	}
	return made
}
