// Every operation of etcd's client on keys, on the server at ETCD_ADDR. Each prints a line; woven, each line is exactly one client
// span (or none, where it says so). Leases and the rest are gRPC calls, which grpc's pack tells.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	fmt.Printf("%-40s %v\n", operation, err)
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{os.Getenv("ETCD_ADDR")},
		Logger:    zap.NewNop(),
	})
	did("New, no span", err)
	if err != nil {
		return err
	}
	defer client.Close()

	_, err = client.Put(ctx, "secret/one", "secret value")
	did("Put", err)
	got, err := client.Get(ctx, "secret/one")
	did("Get", err)
	if err != nil {
		return err
	}
	if len(got.Kvs) != 1 {
		return errors.New("what was put is not there")
	}
	_, err = client.Get(ctx, "secret/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	did("Get with a prefix", err)
	_, err = client.Get(ctx, "secret/none")
	did("Get, not there", err)
	_, err = client.Do(ctx, clientv3.OpPut("secret/two", "secret"))
	did("Do, put", err)
	done, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version("secret/one"), ">", 0)).
		Then(clientv3.OpPut("secret/three", "secret"), clientv3.OpGet("secret/two")).
		Else(clientv3.OpGet("secret/one")).Commit()
	did("Txn", err)
	if err != nil {
		return err
	}
	_, err = client.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpDelete("secret/three")}, nil))
	did("Do, txn", err)
	_, err = client.Delete(ctx, "secret/", clientv3.WithPrefix())
	did("Delete with a prefix", err)
	_, err = client.Compact(ctx, done.Header.Revision)
	did("Compact", err)
	_, err = client.Get(ctx, "secret/one", clientv3.WithRev(1))
	did("Get error, compacted", err)
	_, err = client.Put(ctx, "", "secret")
	did("Put error, no key", err)
	ended, stop := context.WithCancel(ctx)
	stop()
	_, err = client.Get(ended, "secret/one")
	did("Get cancelled", err)
	if err := watch(ctx, client); err != nil {
		return err
	}
	if err := lease(ctx, client); err != nil {
		return err
	}
	_, err = concurrency.NewSTM(client, func(stm concurrency.STM) error {
		stm.Put("secret/stm", "secret")
		return nil
	})
	did("STM, a txn", err)
	return err
}

func watch(ctx context.Context, client *clientv3.Client) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watched := client.Watch(ctx, "watched", clientv3.WithCreatedNotify())
	<-watched
	did("Watch, no span", nil)
	_, err := client.Put(ctx, "watched", "secret")
	did("Put of what is watched", err)
	for response := range watched {
		if len(response.Events) > 0 {
			return response.Err()
		}
	}
	return errors.New("nothing was seen")
}

func lease(ctx context.Context, client *clientv3.Client) error {
	granted, err := client.Grant(ctx, 60)
	did("Grant, a gRPC call", err)
	if err != nil {
		return err
	}
	alive, stop := context.WithCancel(ctx)
	defer stop()
	kept, err := client.KeepAlive(alive, granted.ID)
	did("KeepAlive, no span", err)
	if err != nil {
		return err
	}
	<-kept
	_, err = client.Put(ctx, "leased", "secret", clientv3.WithLease(granted.ID))
	did("Put with a lease", err)
	_, err = client.Revoke(ctx, granted.ID)
	did("Revoke, a gRPC call", err)
	return err
}
