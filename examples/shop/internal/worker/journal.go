package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"example.com/shop/internal/fault"
)

// journalLines is how many lines a journalled job has.
const journalLines = 8

// journal writes some jobs down before they are taken in, when SHOP_FAULT asks
// for it, line by line: each is on the disk before the next is written.
func (w *Worker) journal(orderID string) (err error) {
	if !fault.Hits(fault.SlowSync, orderID) {
		return nil
	}
	file, err := os.Create(filepath.Join(w.dir, filepath.Base(orderID)+".journal"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	for line := range journalLines {
		if _, err := fmt.Fprintf(file, "%s %d\n", orderID, line); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}
