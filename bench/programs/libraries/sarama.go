package main

import (
	"log"

	"github.com/IBM/sarama"
)

func init() {
	more = append(more, func(instruments) call {
		config := sarama.NewConfig()
		config.Producer.Return.Successes = true
		config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, newKafka()
		producer, err := sarama.NewSyncProducer([]string{"kafka.example.com:9092"}, config)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "sarama", count: 250, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: kafkaTopic, Value: sarama.StringEncoder("hello")}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
