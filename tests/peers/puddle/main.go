// puddle-turns acquires and releases resources of a puddle pool, a turn at a time and only when asked, so
// that a benchmark can let several pools take turns on one machine.
//
// A line of standard input is one turn: "goroutines resources milliseconds sampled". Its answer is a line
// of JSON: "ns", the turn's time divided by the pairs of acquire and release of all goroutines; and if
// sampled is 1, so that each acquire is timed, "wait_p99_ns" and "wait_max_ns".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"
)

const samplesMax = 1 << 18 // a goroutine; what comes later is not timed

type connection struct{ number int64 }

var (
	opened atomic.Int64
	pools  = map[int32]*puddle.Pool[*connection]{}
)

func poolOf(size int32) *puddle.Pool[*connection] {
	if pool := pools[size]; pool != nil {
		return pool
	}
	pool, err := puddle.NewPool(&puddle.Config[*connection]{
		Constructor: func(context.Context) (*connection, error) {
			return &connection{number: opened.Add(1)}, nil
		},
		Destructor: func(*connection) {},
		MaxSize:    size,
	})
	if err != nil {
		log.Fatal(err)
	}
	pools[size] = pool
	return pool
}

func acquire(pool *puddle.Pool[*connection]) *puddle.Resource[*connection] {
	resource, err := pool.Acquire(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return resource
}

type worker struct {
	pairs   int64
	samples []time.Duration // timed while there is room
	_       [64]byte        // workers of one slice share no cache line
}

func (w *worker) work(pool *puddle.Pool[*connection], over *atomic.Bool) {
	pairs := int64(0)
	for ; len(w.samples) < cap(w.samples) && !over.Load(); pairs++ {
		begin := time.Now()
		resource := acquire(pool)
		w.samples = append(w.samples, time.Since(begin))
		resource.Release()
	}
	for ; !over.Load(); pairs++ {
		acquire(pool).Release()
	}
	w.pairs = pairs
}

type answer struct {
	NS   float64 `json:"ns"`
	P99  int64   `json:"wait_p99_ns,omitempty"`
	Most int64   `json:"wait_max_ns,omitempty"`
}

func turn(goroutines int, pool *puddle.Pool[*connection], length time.Duration, sampled bool) answer {
	workers := make([]worker, goroutines)
	start := make(chan struct{})
	var over atomic.Bool
	var done sync.WaitGroup
	for i := range workers {
		if sampled {
			workers[i].samples = make([]time.Duration, 0, samplesMax)
		}
		done.Go(func() {
			<-start
			workers[i].work(pool, &over)
		})
	}
	begin := time.Now()
	close(start)
	time.Sleep(length)
	over.Store(true)
	done.Wait()
	passed := time.Since(begin)

	var pairs int64
	var samples []time.Duration
	for i := range workers {
		pairs += workers[i].pairs
		samples = append(samples, workers[i].samples...)
	}
	result := answer{NS: float64(passed.Nanoseconds()) / float64(pairs)}
	if len(samples) > 0 {
		slices.Sort(samples)
		result.P99 = samples[len(samples)*99/100].Nanoseconds()
		result.Most = samples[len(samples)-1].Nanoseconds()
	}
	return result
}

func main() {
	log.SetFlags(0)
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var goroutines, resources, milliseconds, sampled int
		if _, err := fmt.Sscan(lines.Text(), &goroutines, &resources, &milliseconds, &sampled); err != nil {
			log.Fatalf("%q: %v", lines.Text(), err)
		}
		result := turn(goroutines, poolOf(int32(resources)),
			time.Duration(milliseconds)*time.Millisecond, sampled == 1)
		if err := answers.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
