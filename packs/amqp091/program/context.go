//go:build !lowest

package main

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

func init() { moreOf = append(moreOf, withContext) }

func withContext(ctx context.Context, ch *amqp.Channel) {
	must(ch.Confirm(false))
	deliveries, err := ch.ConsumeWithContext(ctx, "jobs", "worker", true, false, false, false, nil)
	must(err)
	did("PublishWithContext", ch.PublishWithContext(ctx, "", "jobs", false, false, amqp.Publishing{}))
	<-deliveries
	confirmation, err := ch.PublishWithDeferredConfirmWithContext(ctx, "shop", "order.4715", false, false, amqp.Publishing{})
	did("PublishWithDeferredConfirm", err)
	confirmation.Wait()
}
