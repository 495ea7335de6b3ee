package ordersv1

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Dial returns a client of the orders service at host:port. It connects when it
// is first used. Closing the connection ends the client.
func Dial(addr string, options ...grpc.DialOption) (OrdersClient, *grpc.ClientConn, error) {
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(addr, options...)
	if err != nil {
		return nil, nil, err
	}
	return NewOrdersClient(conn), conn, nil
}
