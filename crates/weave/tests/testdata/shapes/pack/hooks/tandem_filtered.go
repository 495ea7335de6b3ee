package anything

import "context"

func tandemFiltered(name string, ctx context.Context) {
	if ctx != nil {
		println("filtered", name)
	}
}
