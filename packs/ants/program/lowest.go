//go:build lowest

package main

import "github.com/panjf2000/ants/v2"

// genericPool stands for one, which came with 2.11.
type genericPool struct{ *ants.PoolWithFunc }

func (p genericPool) Invoke(t task) error { return p.PoolWithFunc.Invoke(t) }

func newGenericPool(run func(task)) (genericPool, error) {
	pool, err := ants.NewPoolWithFunc(1, func(argument any) { run(argument.(task)) })
	return genericPool{pool}, err
}
