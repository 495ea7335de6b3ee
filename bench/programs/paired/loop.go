package paired

import (
	"runtime"
	"time"
)

// Case is something short that is done many times in a row.
type Case struct {
	Name  string
	Count int         // how many times in a row
	Do    func(n int) // does it n times; this is what is timed
	Set   func()      // before, not timed; may be nil
	Clear func()      // after, not timed; may be nil
}

// Loop measures the cases: each twice a round, so that the second, "<name>'", is the control of the first.
func Loop(figures *Figures, rounds int, limit time.Duration, cases []Case) {
	plan := NewPlan(2*len(cases), rounds, limit)
	for !plan.Over() {
		turn := plan.Now()
		c, name := cases[turn/2], cases[turn/2].Name
		if turn%2 == 1 {
			name += "'"
		}
		each := c.time()
		if plan.Warm() {
			figures.Rounds[name] = append(figures.Rounds[name], each)
		}
		plan.Next()
	}
	for _, c := range cases {
		c.count(figures)
	}
}

func (c *Case) time() float64 {
	if c.Set != nil {
		c.Set()
	}
	started := CPU() // of the whole process: garbage collection counts, other programs do not
	c.Do(c.Count)
	each := float64(CPU()-started) / float64(c.Count)
	if c.Clear != nil {
		c.Clear()
	}
	return each
}

// count adds the case's allocations and bytes, each time it is done; of several tries the least, as others allocate too.
func (c *Case) count(figures *Figures) {
	var allocations, bytes uint64
	for try := 0; try < 5; try++ {
		if c.Set != nil {
			c.Set()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.Do(c.Count)
		runtime.ReadMemStats(&after)
		if c.Clear != nil {
			c.Clear()
		}
		if count := after.Mallocs - before.Mallocs; try == 0 || count < allocations {
			allocations, bytes = count, after.TotalAlloc-before.TotalAlloc
		}
	}
	figures.Counts[c.Name+" allocations"] = float64(allocations) / float64(c.Count)
	figures.Counts[c.Name+" bytes"] = float64(bytes) / float64(c.Count)
}
