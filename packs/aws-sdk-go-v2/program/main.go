// Operations of an AWS service: answered, refused, tried again, cancelled, and where nobody is.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// moreOf are the uses of services that the lowest version lacks.
var moreOf []func(ctx context.Context, address string)

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "secret-id", SecretAccessKey: "secret-key"}, nil
})

func main() {
	ctx := context.Background()
	address := serve()
	client := connect(address, 2)
	_, err := client.ListQueues(ctx, nil)
	did("list", err)
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String("http://secret-queue"), MessageBody: aws.String("secret")})
	did("send", err)
	_, err = client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("missing")})
	did("refused", err)
	_, err = client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("busy")})
	did("tried again", err)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.ListQueues(cancelled, nil)
	did("cancelled", err)
	_, err = connect("http://127.0.0.1:1", 1).ListQueues(ctx, nil)
	did("nobody there", err)
	for _, more := range moreOf {
		more(ctx, address)
	}
}

func did(what string, err error) { fmt.Printf("%-20s %v\n", what, err != nil) }

func connect(address string, attempts int) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: &address, Region: "eu-central-1", DisableMessageChecksumValidation: true,
		Credentials: credentials,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = attempts
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	})
}

// serve answers like the service, which is far away and costs money, and returns its address.
func serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var busy atomic.Int32
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amzn-RequestId", "request-1")
		switch {
		case strings.Contains(string(asked), "missing"):
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"secret"}`)
		case strings.Contains(string(asked), "busy") && busy.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"__type":"com.amazonaws.sqs#ServiceUnavailable","message":"secret"}`)
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	return "http://" + listener.Addr().String()
}
