//go:build binary_log

package zerolog

import tandem_rt "tandem/rt"

// tandemFields: the agent does not read CBOR; the record has its text alone.
func tandemFields(*tandem_rt.Log, *Event) {}
