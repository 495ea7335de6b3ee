// Package genai holds what packs of clients of generative models have in common: the attributes and names that the semantic
// conventions want of an operation (genai.go), what its answer says (answer.go), and streams, whose span ends when they do
// (stream.go). What was asked and answered is never looked at: only names, numbers and reasons are.
//
// It lives in the shadow GOROOT as tandem/genai. It imports nothing that is woven, so that every package can import it, and
// what runs for each operation allocates nothing.
package genai
