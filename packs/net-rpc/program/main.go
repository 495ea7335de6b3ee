// Program uses net/rpc against itself on loopback, in all the ways that Tandem's pack has to tell apart, and prints one line
// for each call.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"runtime"
	"time"
)

// Arith is what is served.
type Arith struct{ peer *rpc.Client }

// Pair is what its methods take.
type Pair struct{ A, B int }

func (a *Arith) Multiply(pair *Pair, product *int) error {
	*product = pair.A * pair.B
	return nil
}

func (a *Arith) Divide(pair *Pair, quotient *int) error {
	if pair.B == 0 {
		return errors.New("divide by zero")
	}
	*quotient = pair.A / pair.B
	return nil
}

// Square asks a server itself.
func (a *Arith) Square(number *int, square *int) error {
	return a.peer.Call("Arith.Multiply", &Pair{*number, *number}, square)
}

func main() {
	arith := new(Arith)
	server := rpc.NewServer()
	check(server.Register(arith))
	plain, json, web := listen(), listen(), listen()
	go server.Accept(plain)
	go func() {
		conn, err := json.Accept()
		check(err)
		server.ServeCodec(jsonrpc.NewServerCodec(conn))
	}()
	mux := http.NewServeMux()
	mux.Handle(rpc.DefaultRPCPath, server)
	go http.Serve(web, mux)

	idle := runtime.NumGoroutine()
	peer, err := rpc.Dial("tcp", plain.Addr().String())
	check(err)
	arith.peer = peer
	client, err := rpc.Dial("tcp", plain.Addr().String())
	check(err)
	call(client, "Arith.Multiply", &Pair{6, 7})
	call(client, "Arith.Divide", &Pair{1, 0})
	call(client, "Arith.Nothing", &Pair{})
	number := 5
	call(client, "Arith.Square", &number)

	var product int
	pending := client.Go("Arith.Multiply", &Pair{2, 3}, &product, nil)
	<-pending.Done
	fmt.Println("in the background", product, pending.Error)

	check(client.Close())
	call(client, "Arith.Multiply", &Pair{})

	speaker, err := jsonrpc.Dial("tcp", json.Addr().String())
	check(err)
	call(speaker, "Arith.Multiply", &Pair{8, 9})
	check(speaker.Close())

	browser, err := rpc.DialHTTP("tcp", web.Addr().String())
	check(err)
	call(browser, "Arith.Multiply", &Pair{10, 11})
	call(browser, "Arith.Multiply", &Pair{12, 13})
	check(browser.Close())
	check(peer.Close())
	for tries := 0; runtime.NumGoroutine() > idle && tries < 1000; tries++ {
		time.Sleep(5 * time.Millisecond) // until the connections' goroutines have ended, and with them their spans
	}
}

func call(client *rpc.Client, method string, arguments any) {
	var reply int
	err := client.Call(method, arguments, &reply)
	fmt.Println(method, reply, err)
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	return listener
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
