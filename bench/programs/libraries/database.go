package main

import (
	"context"
	"log"

	"example.com/bench/programs/nothing"
)

// query is one that finds a row.
func query(with instruments) call {
	database := with.database(nothing.Database{})
	return call{name: "sql query", count: 1000, spans: 1, do: func(n int) {
		for ; n > 0; n-- {
			var name string
			if err := database.QueryRowContext(context.Background(), "SELECT name FROM items WHERE id = ?", n).Scan(&name); err != nil {
				log.Fatal(err)
			}
		}
	}}
}

// execute is a statement that finds nothing.
func execute(with instruments) call {
	database := with.database(nothing.Database{})
	return call{name: "sql exec", count: 1000, spans: 1, do: func(n int) {
		for ; n > 0; n-- {
			if _, err := database.ExecContext(context.Background(), "UPDATE items SET seen = ? WHERE id = ?", true, n); err != nil {
				log.Fatal(err)
			}
		}
	}}
}
