module tandem.example/packs/conc

go 1.21

require github.com/sourcegraph/conc v0.3.0

require (
	go.uber.org/atomic v1.7.0 // indirect
	go.uber.org/multierr v1.9.0 // indirect
)
