package cart

import (
	"context"
	"testing"
)

func TestAdd(t *testing.T) {
	price, err := Open().Add(context.Background(), "tea", 2)
	if err != nil || price != 399 {
		t.Fatalf("%d, %v", price, err)
	}
}
