// Every command of gomemcache on the memcached that MEMCACHED_ADDR names. Each prints a line; woven, each line is exactly one
// client span.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"
)

func main() {
	client := memcache.New(os.Getenv("MEMCACHED_ADDR"))
	did("Ping", client.Ping())
	did("FlushAll", client.FlushAll())
	did("Set", client.Set(&memcache.Item{Key: "secret-key", Value: []byte("secret")}))
	item, err := client.Get("secret-key")
	did("Get", err)
	_, err = client.Get("nothing")
	did("Get, a miss", err)
	_, err = client.GetMulti([]string{"secret-key", "nothing"})
	did("GetMulti", err)
	did("Add", client.Add(&memcache.Item{Key: "other", Value: []byte("1")}))
	did("Add, not stored", client.Add(&memcache.Item{Key: "other", Value: []byte("1")}))
	did("Replace", client.Replace(&memcache.Item{Key: "other", Value: []byte("7")}))
	did("Append", client.Append(&memcache.Item{Key: "secret-key", Value: []byte("!")}))
	did("Prepend", client.Prepend(&memcache.Item{Key: "secret-key", Value: []byte("!")}))
	did("CompareAndSwap, a conflict", client.CompareAndSwap(item))
	_, err = client.Increment("other", 3)
	did("Increment", err)
	_, err = client.Decrement("other", 2)
	did("Decrement", err)
	_, err = client.Increment("secret-key", 1)
	did("Increment, no number", err)
	did("Touch", client.Touch("other", 60))
	did("Delete", client.Delete("other"))
	did("Delete, a miss", client.Delete("other"))
	did("DeleteAll", client.DeleteAll())
	did("Set, a key that is none", client.Set(&memcache.Item{Key: strings.Repeat("secret ", 50)}))
	did("Ping, nobody there", memcache.New("127.0.0.1:1").Ping())
	_, err = memcache.New("127.0.0.1:1").Get("secret-key")
	did("Get, nobody there", err)
	_, err = memcache.New().Get("secret-key")
	did("Get, no servers", err)
}

func did(command string, err error) {
	fmt.Printf("%-28s %v\n", command, err)
}
