package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"

	amqp "github.com/rabbitmq/amqp091-go"
)

func init() {
	more = append(more, func(instruments) call {
		dial := dialled(serveAMQP)
		conn, err := amqp.DialConfig("amqp://guest:guest@rabbit.example.com:5672/?heartbeat=0", amqp.Config{
			Dial: func(string, string) (net.Conn, error) { return dial() },
		})
		if err != nil {
			log.Fatal(err)
		}
		channel, err := conn.Channel()
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "amqp091", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := channel.PublishWithContext(context.Background(), "shop", "orders", false, false, amqp.Publishing{Body: []byte("hello")}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}

// serveAMQP takes messages and gives them to nobody.
func serveAMQP(conn net.Conn) error {
	reader, header := bufio.NewReader(conn), make([]byte, len("\x01..size"))
	if _, err := reader.Discard(len("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	answers := map[[4]byte]string{ // to methods: those of a class and a number
		{0, 10, 0, 11}: "\x00\x0a\x00\x1e" + "\x00\x00" + "\x00\x02\x00\x00" + "\x00\x00", // start-ok: tune, no limit of channels, frames, no heartbeat
		{0, 10, 0, 40}: "\x00\x0a\x00\x29\x00",                                            // open: open-ok
		{0, 20, 0, 10}: "\x00\x14\x00\x0b\x00\x00\x00\x00",                                // a channel's open: open-ok
	}
	answer, channel := "\x00\x0a\x00\x0a\x00\x09"+"\x00\x00\x00\x00"+"\x00\x00\x00\x05PLAIN"+"\x00\x00\x00\x05en_US", []byte{0, 0} // start
	for {
		if answer != "" {
			frame := binary.BigEndian.AppendUint32([]byte{1, channel[0], channel[1]}, uint32(len(answer)))
			if _, err := conn.Write(append(append(frame, answer...), 0xce)); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(reader, header); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(header[3:]))
		method, err := reader.Peek(4)
		if err != nil {
			return err
		}
		answer, channel = "", header[1:3]
		if header[0] == 1 {
			answer = answers[[4]byte(method)]
		}
		if _, err := reader.Discard(size + 1); err != nil { // what the frame ends with
			return err
		}
	}
}
