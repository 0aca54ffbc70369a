package factory

import (
	"context"
	"sync"
)

// task is one measurement to do; the answer goes into its own slot.
type task struct {
	ctx  context.Context
	job  job
	done chan<- struct{}
	out  *answer
}

type answer struct {
	measurement
	err error // the night cannot go on; a failed trial is not an error
}

// pool is a fixed number of workers, each with instances of its own.
type pool struct {
	tasks chan task
	wg    sync.WaitGroup
}

func newPool(n int, newWorker func() *worker) *pool {
	p := &pool{tasks: make(chan task)}
	for range n {
		w := newWorker()
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			defer w.close()
			for t := range p.tasks {
				t.out.measurement, t.out.err = w.measure(t.ctx, t.job)
				close(t.done)
			}
		}()
	}
	return p
}

// close waits for the workers to end.
func (p *pool) close() {
	close(p.tasks)
	p.wg.Wait()
}

// batch is a set of jobs under way, whose answers are taken in order.
type batch struct {
	cancel  context.CancelFunc
	answers []answer
	done    []chan struct{}
	fed     chan struct{}
}

// start begins to measure jobs; the caller takes every answer or ends the
// batch early, and calls end in both cases.
func (p *pool) start(ctx context.Context, jobs []job) *batch {
	ctx, cancel := context.WithCancel(ctx)
	b := &batch{cancel: cancel, answers: make([]answer, len(jobs)), done: make([]chan struct{}, len(jobs)), fed: make(chan struct{})}
	for i := range jobs {
		b.done[i] = make(chan struct{})
	}
	go func() {
		defer close(b.fed)
		for i, j := range jobs {
			select {
			case p.tasks <- task{ctx: ctx, job: j, done: b.done[i], out: &b.answers[i]}:
			case <-ctx.Done():
				for k := i; k < len(jobs); k++ {
					b.answers[k].err = ctx.Err()
					close(b.done[k])
				}
				return
			}
		}
	}()
	return b
}

// take waits for answer i.
func (b *batch) take(i int) (measurement, error) {
	<-b.done[i]
	return b.answers[i].measurement, b.answers[i].err
}

// end abandons what has not been answered and waits until nobody works on it.
func (b *batch) end() {
	b.cancel()
	<-b.fed
	for _, d := range b.done {
		<-d
	}
}
