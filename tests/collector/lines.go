package main

import (
	"context"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// newLines makes the exporter: it appends a line of JSON to `path` for each batch that it is given.
func newLines() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("lines"), func() component.Config { return &linesConfig{} },
		exporter.WithTraces(func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Traces, error) {
			return openLines(config.(*linesConfig).Path)
		}, component.StabilityLevelStable),
		exporter.WithMetrics(func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Metrics, error) {
			return openLines(config.(*linesConfig).Path)
		}, component.StabilityLevelStable),
		exporter.WithLogs(func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Logs, error) {
			return openLines(config.(*linesConfig).Path)
		}, component.StabilityLevelStable))
}

type linesConfig struct {
	Path string `mapstructure:"path"`
}

type lines struct {
	mu   sync.Mutex
	file *os.File
}

func openLines(path string) (*lines, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return &lines{file: file}, err
}

func (l *lines) Start(context.Context, component.Host) error { return nil }

func (l *lines) Shutdown(context.Context) error { return l.file.Close() }

func (l *lines) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (l *lines) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	return l.write((&ptrace.JSONMarshaler{}).MarshalTraces(traces))
}

func (l *lines) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	return l.write((&pmetric.JSONMarshaler{}).MarshalMetrics(metrics))
}

func (l *lines) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	return l.write((&plog.JSONMarshaler{}).MarshalLogs(logs))
}

func (l *lines) write(line []byte, err error) error {
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.file.Write(append(line, '\n'))
	return err
}
