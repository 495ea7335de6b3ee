package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
	"google.golang.org/grpc/test/bufconn"
)

func init() {
	more = append(more, func(with instruments) call {
		listener := bufconn.Listen(1 << 16)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					log.Fatal(err)
				}
				go serveKeys(conn)
			}
		}()
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{"redis.example.com:6379"}, ForceSingleClient: true, DisableCache: true, AlwaysRESP2: true,
			ClientSetInfo: rueidis.DisableClientSetInfo,
			DialCtxFn: func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
				return listener.DialContext(ctx)
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "rueidis", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := client.Do(context.Background(), client.B().Get().Key("key").Build()).Error(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}

// serveKeys is a Redis that knows one key.
func serveKeys(conn net.Conn) {
	reader := bufio.NewReader(conn)
	line := func() string {
		text, err := reader.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	for {
		count, err := strconv.Atoi(strings.TrimPrefix(line(), "*"))
		if err != nil {
			return
		}
		name := ""
		for i := 0; i < count; i++ {
			line() // the size of the word
			if word := line(); i == 0 {
				name = word
			}
		}
		answer := "+OK\r\n"
		if strings.EqualFold(name, "GET") {
			answer = "$5\r\nvalue\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}
