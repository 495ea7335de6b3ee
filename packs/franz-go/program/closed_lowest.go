//go:build lowest

package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// produceClosed does nothing: such a call never returns in v1.14.0, woven or not.
func produceClosed(context.Context, *kgo.Client) {}
