package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// serveMongo answers each command to MongoDB alike, but for the greeting. It understands messages of the kind OP_MSG only.
func serveMongo(conn net.Conn) error {
	greeting := mongoDocument(bson.D{{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true},
		{Key: "minWireVersion", Value: int32(0)}, {Key: "maxWireVersion", Value: int32(21)}, {Key: "maxBsonObjectSize", Value: int32(1 << 24)},
		{Key: "maxMessageSizeBytes", Value: int32(48e6)}, {Key: "maxWriteBatchSize", Value: int32(1e5)}})
	answer := mongoDocument(bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: int32(1)}})
	const messages, headerSize, prefixSize = 2013, 16, 5 // flags, and the kind of the section that follows
	reader := bufio.NewReader(conn)
	var message, reply []byte
	for {
		size, err := reader.Peek(4)
		if err != nil {
			return err
		}
		message = append(message[:0], make([]byte, binary.LittleEndian.Uint32(size))...)
		if _, err := io.ReadFull(reader, message); err != nil {
			return err
		}
		if kind := binary.LittleEndian.Uint32(message[12:]); kind != messages {
			log.Fatal("mongo: a message of kind ", kind)
		}
		command, err := bson.Raw(message[headerSize+prefixSize:]).IndexErr(0)
		if err != nil {
			return err
		}
		body := answer
		if key := command.Key(); key == "hello" || key == "isMaster" {
			body = greeting
		}
		reply = binary.LittleEndian.AppendUint32(reply[:0], uint32(headerSize+prefixSize+len(body)))
		reply = append(append(reply, 1, 0, 0, 0), message[4:8]...) // its own number, and the one that it answers
		reply = binary.LittleEndian.AppendUint32(reply, messages)
		reply = append(append(reply, make([]byte, prefixSize)...), body...)
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}

func mongoDocument(of bson.D) []byte {
	document, err := bson.Marshal(of)
	if err != nil {
		log.Fatal(err)
	}
	return document
}

// mongoDialer dials a server in memory.
type mongoDialer func() (net.Conn, error)

func (dial mongoDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return dial()
}
