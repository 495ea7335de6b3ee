//go:build !lowest

package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

func produceClosed(ctx context.Context, client *kgo.Client) {
	did("ProduceSync, closed", client.ProduceSync(ctx, &kgo.Record{Topic: "orders"}).FirstErr())
}
