package load

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// planned counts what the planner makes up for so many requests.
func planned(seed uint64, requests int) map[Key]int {
	planner, counts := newPlanner(seed), map[Key]int{}
	for left := requests; left > 0; {
		for _, step := range planner.next() {
			if left > 0 {
				counts[Key{step.method + " " + step.route, step.want}]++
				left--
			}
		}
	}
	return counts
}

// newShop answers every checkout with the status, and all else as a shop should.
func newShop(t *testing.T, checkout int) (addr string) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /checkout", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(checkout) })
	mux.HandleFunc("POST /cart/{user}/items", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("GET /products/P999", http.NotFound)
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestSeedAloneDecidesWhatIsAsked(t *testing.T) {
	if a, b := planned(7, 1000), planned(7, 1000); !maps.Equal(a, b) {
		t.Errorf("one seed, two plans: %v and %v", a, b)
	}
	if a, b := planned(7, 1000), planned(8, 1000); maps.Equal(a, b) {
		t.Errorf("two seeds, one plan: %v", a)
	}
}

func TestPlanShowsEverythingTheShopHas(t *testing.T) {
	counts := planned(1, 1000)
	for _, key := range []Key{
		{"GET /products", 200}, {"GET /products/:id", 200}, {"GET /products/:id", 404},
		{"POST /cart/:user/items", 201}, {"POST /checkout", 201}, {"POST /checkout", 402},
		{"POST /checkout", 409}, {"GET /orders/:id", 200},
	} {
		if counts[key] == 0 {
			t.Errorf("no request is to end with %v", key)
		}
	}
}

func TestRunCountsWhatIsNotAsItShouldBe(t *testing.T) {
	options := Options{Gateway: newShop(t, http.StatusTeapot), Requests: 100, Concurrency: 4, Seed: 1}
	report := Run(t.Context(), options)
	failed := report.Counts()[Key{"POST /checkout", http.StatusTeapot}]
	if failed == 0 || report.Unexpected != failed || report.Requests > 100 {
		t.Errorf("%d failed, %d unexpected of %d requests", failed, report.Unexpected, report.Requests)
	}
}

func TestRunStopsWhenItsTimeIsOver(t *testing.T) {
	options := Options{Gateway: newShop(t, http.StatusTeapot), Duration: 50 * time.Millisecond, Rate: 50, Concurrency: 4}
	start := time.Now()
	Run(t.Context(), options)
	if took := time.Since(start); took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("50 ms of load took %v", took)
	}
}

func TestPaceSpreadsRequests(t *testing.T) {
	pace := newPace(200)
	start := time.Now()
	for range 21 {
		pace.wait(t.Context())
	}
	if took := time.Since(start); took < 95*time.Millisecond {
		t.Errorf("21 requests at 200 a second took %v, want 100 ms", took)
	}
}
