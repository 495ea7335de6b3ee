package standalone

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand"
	"strings"
	"testing"
)

func checkPacked(t *testing.T, p *packer, body []byte) {
	t.Helper()
	packed := p.pack(body)
	reader, failure := gzip.NewReader(bytes.NewReader(packed))
	if failure != nil {
		t.Fatal(failure)
	}
	read, failure := io.ReadAll(reader)
	if failure != nil || !bytes.Equal(read, body) {
		t.Fatalf("%v: %d bytes became %d", failure, len(body), len(read))
	}
}

// What was packed is what the library's reader gives back: nothing, texts of every length and distance, noise, and what comes
// after something else.
func TestPack(t *testing.T) {
	p := new(packer)
	random := rand.New(rand.NewSource(1))
	noise := make([]byte, 200_000)
	random.Read(noise)
	checkPacked(t, p, nil)
	checkPacked(t, p, noise)
	checkPacked(t, p, make([]byte, 100_000))
	for length := 1; length < 600; length++ {
		checkPacked(t, p, append(append(append([]byte{}, noise[:length]...), noise[:300]...), noise[:length]...))
	}
	for distance := 1; distance <= farthest+2; distance += 1 + distance/50 {
		text := append(append([]byte("begin"), noise[:distance]...), noise[:min(distance, 20)]...)
		checkPacked(t, p, append(text, bytes.Repeat(noise[:distance], 1+600/distance)...))
	}
	var mixed []byte
	for len(mixed) < 300_000 {
		if from := random.Intn(len(mixed) + 1); random.Intn(3) > 0 {
			mixed = append(mixed, mixed[from:min(len(mixed), from+random.Intn(700))]...)
		}
		from := random.Intn(len(noise) - 40)
		mixed = append(mixed, noise[from:from+random.Intn(40)]...)
	}
	checkPacked(t, p, mixed)
}

func FuzzPack(f *testing.F) {
	f.Add([]byte("abcabcabcabcabcabc"), uint16(100))
	p := new(packer)
	f.Fuzz(func(t *testing.T, text []byte, times uint16) {
		checkPacked(t, p, text)
		checkPacked(t, p, bytes.Repeat(text, int(times%64)+1))
	})
}

// Once its buffer is as large as it gets, packing allocates nothing.
func TestPackAllocations(t *testing.T) {
	p := new(packer)
	body := []byte(strings.Repeat("the same again, or nearly so ", 1000))
	p.pack(body)
	if allocations := testing.AllocsPerRun(10, func() { p.pack(body) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
