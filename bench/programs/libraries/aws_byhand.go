//go:build !woven

package main

import (
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.opentelemetry.io/contrib/instrumentation/github.com/aws/aws-sdk-go-v2/otelaws"
)

func init() {
	awsByHand = func(options *sqs.Options) { otelaws.AppendMiddlewares(&options.APIOptions) }
}
