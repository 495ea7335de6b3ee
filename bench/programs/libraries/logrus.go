package main

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"
)

func init() {
	more = append(more, func(with instruments) call { return logrusLines("logrus", with, 0) })
	moreRecords = append(moreRecords, func(with instruments) call { return logrusLines("logrus with records", with, 1) })
}

func logrusLines(name string, with instruments, logs int) call {
	logger := logrus.New()
	logger.SetOutput(nobody{})
	logger.SetFormatter(&logrus.JSONFormatter{})
	call := logged(name, with.span, logs, func(ctx context.Context) {
		logger.WithContext(ctx).WithFields(logrus.Fields{
			"method": "GET", "route": "/api/v1/items/{id}", "status": 200, "took": time.Microsecond, "cached": false,
		}).Info("the request was answered")
	})
	call.bare = true
	return call
}
