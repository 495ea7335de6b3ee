//go:build !woven

package main

import (
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.uber.org/zap/zapcore"
)

func init() {
	zapByHand = func(core zapcore.Core) zapcore.Core { return zapcore.NewTee(core, otelzap.NewCore("bench")) }
}
