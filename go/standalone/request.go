package standalone

import "tandem/rt"

// What requests for spans and for log records have in common: a resource, scopes, and in these what was encoded.

// request is one that is being made.
type request struct {
	json     bool
	words    [3]string // what JSON calls the resources, the scopes, and what is in them
	offset   int64     // the wall clock is so much later than the one in records
	resource []byte    // encoded
	scopes   []scope
	count    int
	names    map[string]*key
	buffer   []byte
}

// scope holds what was encoded of one instrumentation scope.
type scope struct {
	name, version, schema string

	head    []byte
	tail    []byte // what stands behind
	encoded []byte
}

// key is the name of attributes, and what an attribute begins with, up to its value.
type key struct {
	name    string
	label   []byte // the name
	encoded []byte
}

// namesLimit bounds the names that are kept. Programs may make up any number of them.
const namesLimit = 4096

func (r *request) begin(json bool, getenv func(string) string, words [3]string) {
	r.json, r.words, r.names = json, words, map[string]*key{}
	var facts []attribute
	for _, pair := range resource(getenv) {
		facts = append(facts, attribute{key: r.newKey(pair.key), kind: rt.ItemString, text: []byte(pair.text)})
		if pair.isInt {
			facts[len(facts)-1].kind, facts[len(facts)-1].word = rt.ItemInt, uint64(pair.number)
		}
	}
	if json {
		r.resource = jsonResource(facts)
	} else {
		r.resource = protobufResource(facts)
	}
	r.SetClock()
}

// SetClock compares the clocks; the wall clock may have been set.
func (r *request) SetClock() {
	monotonic, realtime := rt.Clocks()
	r.offset = int64(realtime - monotonic)
}

// unix is the wall clock's time at a moment of the records' clock.
func (r *request) unix(monotonic uint64) uint64 { return uint64(int64(monotonic) + r.offset) }

// Count is how many spans or log records there are since Take.
func (r *request) Count() int { return r.count }

// Take returns a request with all since the last one.
func (r *request) Take() (body []byte, count int) {
	count, r.count = r.count, 0
	if r.json {
		body = r.takeJSON()
	} else {
		body = r.takeProtobuf()
	}
	for index := range r.scopes {
		r.scopes[index].encoded = r.scopes[index].encoded[:0]
	}
	return body, count
}

func (r *request) newKey(name string) *key {
	made := &key{name: valid(name)}
	made.label = []byte(made.name)
	if r.json {
		made.encoded = jsonKey(made.name)
	} else {
		made.encoded = protobufKey(made.name)
	}
	return made
}

// named is the key of a name that the program gives.
func (r *request) named(name []byte) *key {
	known := r.names[string(name)]
	if known == nil {
		known = r.newKey(string(name))
		if len(r.names) < namesLimit {
			r.names[string(name)] = known
		}
	}
	return known
}

// scopeOf finds an operation's scope.
func (r *request) scopeOf(operation *rt.Operation) int {
	added := scope{name: valid(operation.Scope), version: valid(operation.Version), schema: valid(operation.Schema)}
	for index := range r.scopes {
		if known := &r.scopes[index]; known.name == added.name && known.version == added.version && known.schema == added.schema {
			return index
		}
	}
	if r.json {
		added.head, added.tail = jsonScope(&added)
	} else {
		added.head, added.tail = protobufScope(&added)
	}
	r.scopes = append(r.scopes, added)
	return len(r.scopes) - 1
}
