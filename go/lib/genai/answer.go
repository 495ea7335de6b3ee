package genai

import "tandem/rt"

// Answer is what is known of an answer, whole or as far as it has come.
type Answer struct {
	span *rt.Span
}

// AnswerTo is the answer to the operation whose span it is.
func AnswerTo(span *rt.Span) Answer { return Answer{span} }

// From says which model has answered; id is the answer's.
func (a Answer) From(model, id string) {
	if model != "" {
		a.span.Str(keyResponseModel, model)
	}
	if id != "" {
		a.span.Str(keyResponseID, id)
	}
}

// Input is how many tokens the request had, in all.
func (a Answer) Input(tokens int64) { a.span.Int(keyInputTokens, tokens) }

// Output is how many tokens the answer has.
func (a Answer) Output(tokens int64) { a.span.Int(keyOutputTokens, tokens) }

// Cached is how many of the request's tokens came from a cache, and how many were put into it.
func (a Answer) Cached(read, created int64) {
	if read != 0 {
		a.span.Int(keyCacheRead, read)
	}
	if created != 0 {
		a.span.Int(keyCacheCreation, created)
	}
}

// reasonsLimit is how many of several answers' reasons are told.
const reasonsLimit = 8

// Reasons are why the answers to one request ended.
type Reasons struct {
	count int
	of    [reasonsLimit]string
}

// Add adds one.
func (r *Reasons) Add(reason string) {
	if reason != "" && r.count < reasonsLimit {
		r.of[r.count] = reason
		r.count++
	}
}

// Tell says them, once.
func (r *Reasons) Tell(span *rt.Span) {
	if r.count == 0 || !span.Recording() {
		return
	}
	var room [512]byte
	items, item := rt.AppendAttribute(room[:0], "gen_ai.response.finish_reasons")
	items, list := rt.BeginList(items)
	for _, reason := range r.of[:r.count] {
		if len(reason) <= 32 {
			items = rt.AppendString(items, reason)
		}
	}
	span.Append(rt.EndItem(rt.EndList(items, list), item))
}
