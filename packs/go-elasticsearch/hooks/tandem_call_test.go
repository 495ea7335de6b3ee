package elastictransport

import (
	"context"
	"net/http"
	"testing"

	tandem_rt "tandem/rt"
)

// A call costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	ctx := context.Background()
	if span := tandem_rt.Start(tandemCall, nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	request, _ := http.NewRequest("POST", "http://search.example:9200/books/_search", nil)
	response := &http.Response{StatusCode: 200}
	client := &Client{}
	if n := testing.AllocsPerRun(1000, func() {
		watching := client.InstrumentationEnabled()
		ctx := watching.Start(ctx, "search")
		watching.RecordPathPart(ctx, "index", "books")
		watching.BeforeRequest(request, "search")
		tandemPerformed(request, &response)
		watching.AfterRequest(request, "elasticsearch", "search")
		watching.Close(ctx)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

// Who is set by the program stays.
func TestTheProgramsOwnStays(t *testing.T) {
	own := NewOtelInstrumentation(nil, false, "")
	client := &Client{instrumentation: own}
	if client.InstrumentationEnabled() != Instrumentation(own) {
		t.Error("it was replaced")
	}
}

func BenchmarkCall(b *testing.B) {
	request, _ := http.NewRequest("POST", "http://search.example:9200/books/_search", nil)
	response := &http.Response{StatusCode: 200}
	client := &Client{}
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		watching := client.InstrumentationEnabled()
		ctx := watching.Start(context.Background(), "search")
		watching.RecordPathPart(ctx, "index", "books")
		tandemPerformed(request, &response)
		watching.AfterRequest(request, "elasticsearch", "search")
		watching.Close(ctx)
	}
}
