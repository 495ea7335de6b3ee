package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// natsDialer dials a server in memory.
type natsDialer func() (net.Conn, error)

func (dial natsDialer) Dial(string, string) (net.Conn, error) { return dial() }

func init() {
	more = append(more, func(with instruments) call {
		conn, err := nats.Connect("nats://nats.example.com:4222", nats.SetCustomDialer(natsDialer(dialled(serveNATS))))
		if err != nil {
			log.Fatal(err)
		}
		message := []byte("hello")
		return call{name: "nats", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := conn.Publish("orders", message); err != nil {
					log.Fatal(err)
				}
			}
			if err := conn.Flush(); err != nil {
				log.Fatal(err)
			}
		}}
	})
}

// serveNATS takes messages and gives them to nobody.
func serveNATS(conn net.Conn) error {
	if _, err := io.WriteString(conn, `INFO {"headers":true,"max_payload":1048576}`+"\r\n"); err != nil {
		return err
	}
	for reader := bufio.NewReader(conn); ; {
		line, err := reader.ReadString('\n')
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		switch words[0] {
		case "PING":
			_, err = io.WriteString(conn, "PONG\r\n")
		case "PUB", "HPUB":
			var size int
			if size, err = strconv.Atoi(words[len(words)-1]); err == nil {
				_, err = reader.Discard(size + len("\r\n"))
			}
		}
		if err != nil {
			return err
		}
	}
}
