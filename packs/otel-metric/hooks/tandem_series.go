package global

import (
	"encoding/json"
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	tandem_rt "tandem/rt"
)

// The series of a metric, by attributes.

// plain is the series without attributes.
func (i *tandemInstrument) plain() *tandemSeries {
	if bare := i.bare.Load(); bare != nil {
		return bare
	}
	return i.add(attribute.EmptySet())
}

// of is the series of a set of attributes.
func (i *tandemInstrument) of(set *attribute.Set) *tandemSeries {
	if known := i.series.Load(); known != nil {
		if series := (*known)[set.Equivalent()]; series != nil {
			return series
		}
	}
	own := *set // so that the caller's stays where it is
	return i.add(&own)
}

// add makes a series, or finds the one for the rest. It may be there by now.
func (i *tandemInstrument) add(set *attribute.Set) *tandemSeries {
	i.lock.Lock()
	defer i.lock.Unlock()
	if set.Len() == 0 {
		if bare := i.bare.Load(); bare != nil {
			return bare
		}
		made, _ := i.made(set)
		if made == nil {
			return i.others()
		}
		i.bare.Store(made)
		return made
	}
	var known map[attribute.Distinct]*tandemSeries
	if at := i.series.Load(); at != nil {
		known = *at
	}
	if series := known[set.Equivalent()]; series != nil {
		return series
	}
	if len(known) >= tandemLimit-1 || i.full.Load() {
		return i.others()
	}
	made, fits := i.made(set)
	if made == nil {
		made = i.others()
		if fits {
			i.full.Store(true)
			return made
		}
	}
	all := make(map[attribute.Distinct]*tandemSeries, len(known)+1)
	for key, series := range known {
		all[key] = series
	}
	all[set.Equivalent()] = made
	i.series.Store(&all)
	return made
}

// others is the series for what finds no place.
func (i *tandemInstrument) others() *tandemSeries {
	if i.rest == nil {
		about := i.about()
		about.Attributes, about.Types = "otel.metric.overflow=true\n", tandem_rt.BoolType
		i.rest = &tandemSeries{Instrument: tandem_rt.NewSeries(i.kind, i.observed, i.float, true, about, i.bounds)}
	}
	return i.rest
}

// made is nil if there is no room: fits says whether it is the table that has none.
func (i *tandemInstrument) made(set *attribute.Set) (made *tandemSeries, fits bool) {
	about := i.about()
	tandemDescribe(about, set)
	used := len(about.Scope) + len(about.Name) + len(about.Unit) + len(about.Attributes)
	if used > tandem_rt.AboutLimit {
		return nil, false
	}
	// One series that says what the metric is will do.
	if !i.told && used+len(i.description) <= tandem_rt.AboutLimit {
		about.Description = i.description
	}
	instrument := tandem_rt.NewSeries(i.kind, i.observed, i.float, false, about, i.bounds)
	if instrument == nil {
		return nil, true
	}
	i.told = i.told || about.Description != "" && !i.observed // an observed one may go again
	return &tandemSeries{Instrument: instrument}, true
}

func (i *tandemInstrument) about() *tandem_rt.About {
	return &tandem_rt.About{Scope: i.scope, Name: i.name, Unit: i.unit}
}

// tandemDescribe writes attributes down.
func tandemDescribe(about *tandem_rt.About, set *attribute.Set) {
	var text []byte
	place := 0
	for at := set.Iter(); at.Next(); place++ {
		pair := at.Attribute()
		value, kind := tandemValue(pair.Value)
		if place < 16 {
			about.Types |= kind << (4 * place)
		}
		text = append(tandemEscape(text, string(pair.Key), true, &about.Escaped), '=')
		text = append(tandemEscape(text, value, false, &about.Escaped), '\n')
	}
	about.Attributes = string(text)
}

// tandemEscape adds a text that stays in its line.
func tandemEscape(to []byte, text string, isKey bool, escaped *bool) []byte {
	for index := 0; index < len(text); index++ {
		switch letter := text[index]; {
		case letter == '\\':
			to = append(to, `\\`...)
		case letter == '\n':
			to = append(to, `\n`...)
		case letter == '=' && isKey:
			to = append(to, `\e`...)
		default:
			to = append(to, letter)
			continue
		}
		*escaped = true
	}
	return to
}

func tandemValue(value attribute.Value) (text string, kind uint64) {
	switch value.Type() {
	case attribute.STRING:
		return value.AsString(), tandem_rt.TextType
	case attribute.INT64:
		return strconv.FormatInt(value.AsInt64(), 10), tandem_rt.IntType
	case attribute.FLOAT64:
		return strconv.FormatFloat(value.AsFloat64(), 'g', -1, 64), tandem_rt.FloatType
	case attribute.BOOL:
		return strconv.FormatBool(value.AsBool()), tandem_rt.BoolType
	case attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE, attribute.STRINGSLICE:
		if list, err := json.Marshal(value.AsInterface()); err == nil {
			return string(list), tandem_rt.ListType
		}
	}
	return value.Emit(), tandem_rt.TextType
}
