// Command accuracy is what the accuracy of parents is measured with: a front that calls a backend and a database in the ways
// that programs do, and a load generator. Every operation carries the number of the request that it belongs to, so that each
// span says by itself whose child it must be.
//
//	accuracy backend REQUESTS                         prints its HTTP and its gRPC address
//	accuracy front HTTP-ADDRESS GRPC-ADDRESS          prints its address
//	accuracy load ADDRESS FIRST COUNT CONNECTIONS PIPELINED   prints how many requests were answered
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: accuracy backend|front|load …")
	}
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "backend":
		backend(number(arguments, 0))
	case "front":
		front(word(arguments, 0), word(arguments, 1))
	case "load":
		answered, err := load(word(arguments, 0), number(arguments, 1), number(arguments, 2), number(arguments, 3), number(arguments, 4))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answered)
	default:
		log.Fatalf("no part is called %q", os.Args[1])
	}
}

func word(arguments []string, index int) string {
	if index >= len(arguments) {
		log.Fatal("an argument is missing")
	}
	return arguments[index]
}

func number(arguments []string, index int) int {
	value, err := strconv.Atoi(word(arguments, index))
	if err != nil {
		log.Fatal(err)
	}
	return value
}
