package main

import (
	"context"
	"log"
	"net"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// Client and server in this process: by hand with otelgrpc on both sides.
func init() {
	more = append(more, func(with instruments) call {
		listener := bufconn.Listen(1 << 16)
		server := grpc.NewServer(with.server...)
		etcdserverpb.RegisterKVServer(server, keys{})
		go func() { log.Fatal(server.Serve(listener)) }()
		dial := grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() })
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{"127.0.0.1:2379"}, Logger: zap.NewNop(), DialOptions: append([]grpc.DialOption{dial}, with.client...),
		})
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "etcd", count: 500, spans: 2, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.Get(context.Background(), "key"); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}

// keys is a server that knows one key.
type keys struct {
	etcdserverpb.UnimplementedKVServer
}

func (keys) Range(context.Context, *etcdserverpb.RangeRequest) (*etcdserverpb.RangeResponse, error) {
	return &etcdserverpb.RangeResponse{Header: &etcdserverpb.ResponseHeader{Revision: 1}, Count: 1}, nil
}
