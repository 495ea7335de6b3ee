package orders

import (
	"errors"
	"strings"
)

// errDeclined means that the card's bank refused to pay.
var errDeclined = errors.New("card declined")

// charge stands for a payment provider: cards that end in 0000 are declined.
func charge(card string, _ int64) error {
	if strings.HasSuffix(card, "0000") {
		return errDeclined
	}
	return nil
}
