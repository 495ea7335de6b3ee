package main

// functionsPart: a function that calls itself ten deep, as in MooBench: plain, woven dormant and off, on without an agent,
// on with one; and on beyond its limit. And what many of them add to a program's start.
func functionsPart(b *bench) (*outcome, error) {
	binary, err := b.build("functions", true)
	if err != nil {
		return nil, err
	}
	rounds := pick(b, "500", "10")
	alone, err := b.measure(pinned(serverCore, binary, "-rounds", rounds, "-limit", pick(b, "30s", "2s")), b.noAgent())
	if err != nil {
		return nil, err
	}
	watched := b.agentRun(false, binary, "-agent", "-rounds", rounds, "-limit", pick(b, "60s", "2s"))
	under, err := b.measure(watched, "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none")
	if err != nil {
		return nil, err
	}
	starts, raw, err := b.dormantRows()
	if err != nil {
		return nil, err
	}
	result := &outcome{Raw: map[string]any{"alone": alone, "agent": under, "start": raw}}
	for _, found := range []*figures{alone, under} {
		found.scale(0.1) // a measurement is ten calls
	}
	// The best that the Cloudprofiler study found a traced call to cost, of those tools that it compares.
	const best = 2280
	on := under.added("on, with agent, each call", "on", "plain", atMost(ofDifference, best))
	if lost := under.Counts["dropped"]; lost > 0 {
		on.Note = "some records found the ring full."
	}
	result.Rows = []row{
		alone.added("off, each call", "off", "plain", atMost(ofDifference, 2)),
		alone.added("on, no agent (ring full), each call", "on", "plain", atMost(ofDifference, best)),
		on,
		alone.added("on, beyond its limit, each call", "limited", "plain", nil),
		{What: "on: allocations", Value: min(alone.Counts["on allocations"], under.Counts["on allocations"]), Goal: atMost(ofValue, 0)},
	}
	result.Rows = append(result.Rows, starts...)
	return result, nil
}
