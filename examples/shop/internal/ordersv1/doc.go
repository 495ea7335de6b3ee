// Package ordersv1 is the gRPC contract of the orders service, generated from
// orders.proto. Regenerate it with "go generate ./internal/ordersv1"; that needs
// protoc, the two plugins come from go.mod.
package ordersv1

//go:generate sh -c "protoc --plugin=$(go tool -n protoc-gen-go) --plugin=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative orders.proto"
