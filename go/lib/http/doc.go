// Package http holds what the packs of HTTP libraries share: attributes, and how a framework's route comes to the span of its
// server. It is tandem/http in the shadow GOROOT and imports nothing that is woven.
package http
