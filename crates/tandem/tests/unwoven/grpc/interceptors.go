//go:build !direct

package main

import (
	"context"

	"google.golang.org/grpc"
)

// interceptors make each call twice.
var interceptors = []grpc.DialOption{grpc.WithUnaryInterceptor(
	func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if err := invoke(ctx, method, in, out, cc, options...); err != nil {
			return err
		}
		return invoke(ctx, method, in, out, cc, options...)
	},
)}
