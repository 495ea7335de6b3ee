package main

import (
	"context"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapByHand makes log records, too, of what a core gets.
var zapByHand func(zapcore.Core) zapcore.Core

func init() {
	more = append(more, func(with instruments) call { return zapLines("zap", with, 0) })
	moreRecords = append(moreRecords, func(with instruments) call { return zapLines("zap with records", with, 1) })
}

func zapLines(name string, with instruments, logs int) call {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(nobody{}), zap.InfoLevel)
	if with.byHand && logs > 0 {
		core = zapByHand(core)
	}
	logger := zap.New(core)
	call := logged(name, with.span, logs, func(context.Context) {
		logger.Info("the request was answered", zap.String("method", "GET"), zap.String("route", "/api/v1/items/{id}"),
			zap.Int("status", 200), zap.Duration("took", time.Microsecond), zap.Bool("cached", false))
	})
	call.bare = logs == 0
	call.ids = !with.byHand // what makes records of them gives the lines no ids
	return call
}
