package main
func socketsPart(b *bench) (*outcome, error) { return nil, errSkipped{"x"} }
func agentPart(b *bench) (*outcome, error) { return nil, errSkipped{"x"} }
func buildPart(b *bench) (*outcome, error) { return nil, errSkipped{"x"} }
func serveSink() {}
