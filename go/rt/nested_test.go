package rt

import "testing"

// TestNested: an operation is known inside of itself, past spans made by hand, on goroutines that it starts, and not after.
func TestNested(t *testing.T) {
	clean(t)
	if Woven() != nil || (*Span)(nil).Is(opInternal) || (*Span)(nil).Has(KeyServerPortDimension) {
		t.Error("there is something where nothing is")
	}
	span := Start(opInternal, nil)
	if !Woven().Is(opInternal) || Woven().Is(opServer) {
		t.Error("the operation is not known")
	}
	if span.Has(KeyServerAddressDimension) {
		t.Error("it has what it has not")
	}
	span.Str(KeyServerAddressDimension, "here")
	if !span.Has(KeyServerAddressDimension) || span.Has(KeyServerPortDimension) || span.Has(KeyServerAddress) {
		t.Error("it has not what it has")
	}
	byHand := StartManual(testManual, nil, false, false)
	if Woven() != span {
		t.Error("a span made by hand hides the operation")
	}
	inside := make(chan bool)
	ended := make(chan bool)
	go func() {
		inside <- Woven().Is(opInternal)
		<-ended
		inside <- span.Is(opInternal)
	}()
	if !<-inside {
		t.Error("the operation is not known on a goroutine that it started")
	}
	byHand.End()
	span.End()
	close(ended)
	if <-inside || Woven() != nil {
		t.Error("it is known after its end")
	}
}

// TestLinkOfHeaders: a message's headers give a link, and nothing where they say nothing.
func TestLinkOfHeaders(t *testing.T) {
	clean(t)
	span := Start(opInternal, nil)
	var in Incoming
	in.Link(span)
	in.Catch("traceparent", []string{"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"})
	in.Link(span)
	span.End()
	got := one(t)
	links := 0
	for _, item := range got.items {
		if item.kind == itemLink {
			links++
		}
	}
	if links != 1 {
		t.Errorf("%d links", links)
	}
	if n := testing.AllocsPerRun(100, func() {
		span := Start(opInternal, nil)
		var in Incoming
		in.Catch("traceparent", []string{"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"})
		in.Link(span)
		Woven().Is(opInternal)
		span.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
