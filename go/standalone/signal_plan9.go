package standalone

// watchSignals leaves notes, which are Plan 9's signals, to the program.
func (e *exporter) watchSignals() {}
