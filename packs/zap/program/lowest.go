//go:build lowest

package main

import "go.uber.org/zap"

func withLazy(logger *zap.Logger, fields ...zap.Field) *zap.Logger { return logger.With(fields...) }
