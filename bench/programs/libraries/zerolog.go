package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

func init() {
	more = append(more, func(with instruments) call { return zerologLines("zerolog", with, 0) })
	moreRecords = append(moreRecords, func(with instruments) call { return zerologLines("zerolog with records", with, 1) })
}

func zerologLines(name string, with instruments, logs int) call {
	logger := zerolog.New(nobody{}).With().Timestamp().Logger()
	call := logged(name, with.span, logs, func(context.Context) {
		logger.Info().Str("method", "GET").Str("route", "/api/v1/items/{id}").Int("status", 200).
			Dur("took", time.Microsecond).Bool("cached", false).Msg("the request was answered")
	})
	call.bare = true
	return call
}
