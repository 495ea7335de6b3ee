//go:build !binary_log

package zerolog

import tandem_rt "tandem/rt"

// tandemFields hands over the event's text. What the record has in places of its own is no attribute.
func tandemFields(log *tandem_rt.Log, e *Event) {
	log.JSON(e.buf)
	log.Omit(LevelFieldName)
	log.Omit(TimestampFieldName)
	log.Omit(CallerFieldName)
}
