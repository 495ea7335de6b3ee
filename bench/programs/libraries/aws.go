package main

import (
	"context"
	"log"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// awsByHand instruments a client.
var awsByHand func(*sqs.Options)

// The figures have the span of the HTTP request in them; by hand there is one.
func init() {
	more = append(more, func(with instruments) call {
		endpoint := "http://127.0.0.1:8080"
		options := sqs.Options{
			BaseEndpoint: &endpoint, Region: "eu-central-1", DisableMessageChecksumValidation: true,
			HTTPClient:  &http.Client{Transport: answering(answered("application/x-amz-json-1.0", `{"QueueUrl":"http://127.0.0.1:8080/1/orders"}`))},
			Credentials: aws.AnonymousCredentials{},
		}
		if with.byHand {
			awsByHand(&options)
		}
		client := sqs.New(options)
		return call{name: "aws-sdk-go-v2", count: 250, spans: with.spans(2, 1), do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: aws.String("orders")}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
