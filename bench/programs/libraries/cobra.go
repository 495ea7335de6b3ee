package main

import (
	"log"

	"github.com/spf13/cobra"
)

func init() {
	more = append(more, func(instruments) call {
		root := &cobra.Command{Use: "shop"}
		root.AddCommand(&cobra.Command{Use: "list", Run: func(*cobra.Command, []string) {}})
		root.SetArgs([]string{"list"})
		return call{name: "cobra", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := root.Execute(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
