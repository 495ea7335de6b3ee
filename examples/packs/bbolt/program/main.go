// Program uses a bbolt database in the ways that the pack tells apart: transactions that are kept, rolled back, joined and only
// read.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

func main() {
	folder, err := os.MkdirTemp("", "bbolt-")
	check(err)
	defer os.RemoveAll(folder)
	db, err := bbolt.Open(filepath.Join(folder, "shop.db"), 0600, nil)
	check(err)
	defer db.Close()
	put := func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("carts"))
		if err != nil {
			return err
		}
		return bucket.Put([]byte("1"), []byte("a book"))
	}
	check(db.Update(put))
	if err := db.Update(func(tx *bbolt.Tx) error { return errors.New("no such cart") }); err == nil {
		check(errors.New("nothing was rolled back"))
	}
	check(db.Batch(put))
	check(db.View(func(tx *bbolt.Tx) error {
		fmt.Println(string(tx.Bucket([]byte("carts")).Get([]byte("1"))))
		return nil
	}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
