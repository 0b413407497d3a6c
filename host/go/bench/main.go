// Command bench measures the Go host beside sony/gobreaker: one table, medians of interleaved samples, goals met or missed.
//
//	go run . [-json] [-quick] [-rows regexp]
//
// Run it in host/go/bench, on a machine with nothing else to do. It takes some 30 s.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// contestant runs so many calls.
type contestant func(calls int)

// row is one line of the table: ours beside a peer in the same run.
type row struct {
	name       string
	ours, peer contestant
	// peerName is empty where there is nothing to compare with.
	peerName string
	// goal is the largest ratio that meets it; 0 where there is none.
	goal float64
}

// measured is a row's result, in nanoseconds a call.
type measured struct {
	Name     string  `json:"name"`
	OursNs   float64 `json:"ours_ns"`
	Peer     string  `json:"peer,omitempty"`
	PeerNs   float64 `json:"peer_ns,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Goal     float64 `json:"goal,omitempty"`
	IsMet    bool    `json:"is_met,omitempty"`
	Machine  string  `json:"-"`
	Contests int     `json:"samples"`
}

// sampleTime is how long one sample takes: long beside the clock's reading, short beside what else goes on on a machine.
const sampleTime = 4 * time.Millisecond

// calibrate finds how many calls a sample takes.
func calibrate(run contestant) int {
	run(100)
	for calls := 64; ; calls *= 2 {
		began := time.Now()
		run(calls)
		if took := time.Since(began); took > sampleTime/2 || calls >= 1<<24 {
			return max(int(float64(calls)*float64(sampleTime)/float64(took)), 1)
		}
	}
}

func sample(run contestant, calls int) float64 {
	began := time.Now()
	run(calls)
	return float64(time.Since(began)) / float64(calls)
}

func median(samples []float64) float64 {
	slices.Sort(samples)
	return samples[len(samples)/2]
}

// measure takes samples of both in turn, so that noise hits both alike.
func (r *row) measure(samples int) measured {
	ourCalls := calibrate(r.ours)
	peerCalls := 0
	if r.peer != nil {
		peerCalls = calibrate(r.peer)
	}
	var ours, peer []float64
	for range samples {
		ours = append(ours, sample(r.ours, ourCalls))
		if r.peer != nil {
			peer = append(peer, sample(r.peer, peerCalls))
		}
	}
	found := measured{Name: r.name, OursNs: median(ours), Peer: r.peerName, Goal: r.goal, Contests: samples}
	if r.peer != nil {
		found.PeerNs = median(peer)
		found.Ratio = found.OursNs / found.PeerNs
		found.IsMet = r.goal > 0 && found.Ratio <= r.goal
	}
	return found
}

func (m *measured) verdict() string {
	switch {
	case m.Goal == 0:
		return ""
	case m.IsMet:
		return fmt.Sprintf("<= %.1f MET", m.Goal)
	}
	return fmt.Sprintf("<= %.1f MISSED", m.Goal)
}

func main() {
	asJSON := flag.Bool("json", false, "print JSON")
	quick := flag.Bool("quick", false, "take fewer samples")
	only := flag.String("rows", "", "measure only rows whose names match this regular expression")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	samples := 101
	if *quick {
		samples = 21
	}
	rows, err := rows()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	var all []measured
	if !*asJSON {
		fmt.Printf("%s, %d processors, medians of %d samples, nanoseconds a call\n\n", runtime.Version(), runtime.GOMAXPROCS(0), samples)
		fmt.Printf("%-66s %10s  %-32s %10s %7s  %s\n", "", "softfuse", "beside", "", "ratio", "goal")
	}
	for i := range rows {
		if !wanted.MatchString(rows[i].name) {
			continue
		}
		found := rows[i].measure(samples)
		all = append(all, found)
		if *asJSON {
			continue
		}
		if found.Peer == "" {
			fmt.Printf("%-66s %10.1f\n", found.Name, found.OursNs)
			continue
		}
		fmt.Printf("%-66s %10.1f  %-32s %10.1f %7.2f  %s\n", found.Name, found.OursNs, found.Peer, found.PeerNs, found.Ratio, found.verdict())
	}
	if *asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"go": runtime.Version(), "processors": runtime.GOMAXPROCS(0), "rows": all}); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}
