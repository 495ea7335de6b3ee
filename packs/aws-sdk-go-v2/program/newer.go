//go:build !lowest

package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// A service that was generated in 2026 leaves out middleware that older ones have.
func init() {
	moreOf = append(moreOf, func(ctx context.Context, address string) {
		client := dynamodb.New(dynamodb.Options{BaseEndpoint: &address, Region: "eu-central-1", Credentials: credentials})
		_, err := client.ListTables(ctx, nil)
		did("list, newer", err)
	})
}
