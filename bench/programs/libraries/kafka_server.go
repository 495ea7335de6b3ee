package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const kafkaTopic = "orders"

// Requests of Kafka that the server in memory knows.
const (
	kafkaProduce  = 0
	kafkaMetadata = 3
	kafkaVersions = 18
)

// kafkaDialer dials that server.
type kafkaDialer func() (net.Conn, error)

func newKafka() kafkaDialer { return dialled(serveKafka) }

func (dial kafkaDialer) Dial(string, string) (net.Conn, error) { return dial() }

func (dial kafkaDialer) DialContext(context.Context, string, string) (net.Conn, error) { return dial() }

// serveKafka is a broker of one topic, that forgets all messages.
func serveKafka(conn net.Conn) error {
	reader := bufio.NewReader(conn)
	var request, reply []byte
	for {
		size, err := reader.Peek(4)
		if err != nil {
			return err
		}
		request = append(request[:0], make([]byte, 4+binary.BigEndian.Uint32(size))...)
		if _, err := io.ReadFull(reader, request); err != nil {
			return err
		}
		answer, number := kafkaAnswer(request[4:])
		reply = append(append(reply[:0], 0, 0, 0, 0), number...)
		if answer.IsFlexible() && answer.Key() != kafkaVersions {
			reply = append(reply, 0) // no tags
		}
		reply = answer.AppendTo(reply)
		binary.BigEndian.PutUint32(reply, uint32(len(reply)-4))
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}

// kafkaAnswer is the answer to a request, and the request's number.
func kafkaAnswer(text []byte) (answer kmsg.Response, number []byte) {
	const headerSize = 10 // kind, version, number, and the length of the client's name
	request := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(text)))
	request.SetVersion(int16(binary.BigEndian.Uint16(text[2:])))
	body := text[headerSize+int(binary.BigEndian.Uint16(text[8:])):]
	if request.IsFlexible() {
		body = body[1:] // no tags
	}
	if err := request.ReadFrom(body); err != nil {
		log.Fatal("kafka: ", err)
	}
	answer = request.ResponseKind()
	switch answer := answer.(type) {
	case *kmsg.ApiVersionsResponse:
		for _, known := range []kmsg.ApiVersionsResponseApiKey{
			{ApiKey: kafkaProduce, MinVersion: 3, MaxVersion: 8}, {ApiKey: kafkaMetadata, MinVersion: 1, MaxVersion: 8}, {ApiKey: kafkaVersions, MaxVersion: 3},
		} {
			answer.ApiKeys = append(answer.ApiKeys, known)
		}
	case *kmsg.MetadataResponse:
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 1, "kafka.example.com", 9092
		partition := kmsg.NewMetadataResponseTopicPartition()
		partition.Leader, partition.Replicas, partition.ISR = 1, []int32{1}, []int32{1}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.Partitions = kmsg.StringPtr(kafkaTopic), []kmsg.MetadataResponseTopicPartition{partition}
		answer.ControllerID, answer.Brokers, answer.Topics = 1, []kmsg.MetadataResponseBroker{broker}, []kmsg.MetadataResponseTopic{topic}
	case *kmsg.ProduceResponse:
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.Partitions = kafkaTopic, []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}
		answer.Topics = []kmsg.ProduceResponseTopic{topic}
	default:
		log.Fatalf("kafka: a request of kind %d", answer.Key())
	}
	return answer, text[4:8]
}
