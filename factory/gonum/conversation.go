package gonum

import (
	"gonum.org/v1/gonum/optimize"
)

// conversation runs an optimize.Method, which wants a goroutine and two
// channels, one generation at a time. Everything that the method does happens
// between a call of tell and the return of the next ask, so that it is as
// deterministic as a function.
type conversation struct {
	dim     int
	ops     chan optimize.Task
	results chan optimize.Task
	pending []optimize.Task // asked and not told
	width   int             // points that the method asks at once
}

// converse starts the method at the origin. width is how many points it may
// ask at once. Whoever called it calls end.
func converse(m optimize.Method, dim, width int) *conversation {
	c := &conversation{dim: dim, ops: make(chan optimize.Task), results: make(chan optimize.Task)}
	c.width = m.Init(dim, width)
	tasks := make([]optimize.Task, c.width)
	for i := range tasks {
		tasks[i] = optimize.Task{ID: i, Location: &optimize.Location{X: make([]float64, dim)}}
	}
	go m.Run(c.ops, c.results, tasks)
	return c
}

// ask returns the points of the next generation, in an order of their own that
// never changes; none when the method has converged or failed. They are the
// caller's until tell.
func (c *conversation) ask() [][]float64 {
	if len(c.pending) == 0 {
		for len(c.pending) < c.width {
			task := <-c.ops
			switch task.Op {
			case optimize.MethodDone:
				return nil
			case optimize.FuncEvaluation:
				c.pending = append(c.pending, task)
			default: // a report that wants no answer but itself
				c.results <- task
			}
		}
	}
	points := make([][]float64, len(c.pending))
	for i, task := range c.pending {
		points[i] = task.X
	}
	return points
}

// tell answers the points of ask, in its order.
func (c *conversation) tell(losses []float64) {
	for i, task := range c.pending {
		task.F = losses[i]
		c.results <- task
	}
	c.pending = c.pending[:0]
}

// end lets the method's goroutine return.
func (c *conversation) end() {
	for stopping := true; stopping; {
		select {
		case <-c.ops: // something that it had still to say
		case c.results <- optimize.Task{Op: optimize.PostIteration}:
			stopping = false
		}
	}
	close(c.results)
	for range c.ops { // it closes the channel when it is done
	}
}
