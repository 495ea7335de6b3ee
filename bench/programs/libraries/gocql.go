package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"

	"github.com/gocql/gocql"
)

func init() {
	more = append(more, func(instruments) call {
		cluster := gocql.NewCluster("127.0.0.1")
		cluster.ProtoVersion, cluster.NumConns, cluster.DisableInitialHostLookup = 4, 1, true
		cluster.HostDialer = cassandra(dialled(serveCassandra))
		session, err := cluster.CreateSession()
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "gocql", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := session.Query("INSERT INTO items (id, name) VALUES (7, 'chair')").WithContext(context.Background()).Exec(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}

// cassandra dials a server in memory.
type cassandra func() (net.Conn, error)

func (dial cassandra) DialHost(context.Context, *gocql.HostInfo) (*gocql.DialedHost, error) {
	conn, err := dial()
	return &gocql.DialedHost{Conn: tcpNamed{conn}, DisableCoalesce: true}, err
}

// tcpNamed is a connection whose end has the address of one of TCP, which gocql asks for.
type tcpNamed struct{ net.Conn }

func (tcpNamed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9042} }

// serveCassandra answers each kind of frame of version 4 alike.
func serveCassandra(conn net.Conn) error {
	const headerSize, version, ready, result = 9, 0x84, 2, 8
	answers := map[byte]struct {
		kind byte
		body string
	}{
		5:   {6, "\x00\x00"}, // OPTIONS: SUPPORTED, nothing
		1:   {ready, ""},     // STARTUP
		0xb: {ready, ""},     // REGISTER
		// QUERY, which only gocql itself asks: a row of one column, the server's id
		7: {result, "\x00\x00\x00\x02" + "\x00\x00\x00\x01\x00\x00\x00\x01" + "\x00\x06system\x00\x05local" + "\x00\x07host_id\x00\x0c" +
			"\x00\x00\x00\x01" + "\x00\x00\x00\x10" + "a server's number"[:16]},
		// PREPARE: an id, and no columns to be given or to come
		9:   {result, "\x00\x00\x00\x04" + "\x00\x02id" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x04\x00\x00\x00\x00"},
		0xa: {result, "\x00\x00\x00\x01"}, // EXECUTE: nothing
	}
	reader, header := bufio.NewReader(conn), make([]byte, headerSize)
	var reply []byte
	for {
		if _, err := io.ReadFull(reader, header); err != nil {
			return err
		}
		if _, err := reader.Discard(int(binary.BigEndian.Uint32(header[5:]))); err != nil {
			return err
		}
		answer, known := answers[header[4]]
		if !known {
			log.Fatalf("gocql: a frame of kind %d", header[4])
		}
		reply = append(reply[:0], version, 0, header[2], header[3], answer.kind)
		reply = append(binary.BigEndian.AppendUint32(reply, uint32(len(answer.body))), answer.body...)
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}
