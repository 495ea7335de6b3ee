// Command etcd is etcd's server as its own main package has it, from a module that requires it: its own go.mod replaces
// modules by folders that only its repository has.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
