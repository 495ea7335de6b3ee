//go:build !lowest

package main

import "github.com/panjf2000/ants/v2"

func newGenericPool(run func(task)) (*ants.PoolWithFuncGeneric[task], error) {
	return ants.NewPoolWithFuncGeneric(1, run)
}
