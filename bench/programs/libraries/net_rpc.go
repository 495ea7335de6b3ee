package main

import (
	"log"
	"net"
	"net/rpc"
)

// Arithmetic is what is served.
type Arithmetic struct{}

// Factors are what it takes.
type Factors struct{ A, B int }

// Multiply multiplies.
func (Arithmetic) Multiply(factors *Factors, product *int) error {
	*product = factors.A * factors.B
	return nil
}

func init() {
	more = append(more, func(instruments) call { // client and server in this process
		server := rpc.NewServer()
		if err := server.Register(Arithmetic{}); err != nil {
			log.Fatal(err)
		}
		conn, err := dialled(func(conn net.Conn) error { server.ServeConn(conn); return nil })()
		if err != nil {
			log.Fatal(err)
		}
		client := rpc.NewClient(conn)
		return call{name: "net-rpc", count: 500, spans: 2, bare: true, do: func(n int) {
			var product int
			for ; n > 0; n-- {
				if err := client.Call("Arithmetic.Multiply", &Factors{n, 7}, &product); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
