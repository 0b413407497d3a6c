// Scoring beside the call: answers wait, up to a bound, for a few goroutines that have them scored and report the scores late.

package softfuse

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"softfuse.dev/softfuse/internal/core"
)

// ScoringSettings say how answers are scored beside their calls. The zero value means the defaults.
type ScoringSettings struct {
	// QueueMax is how many answers may wait or be scored at once. Default 256. Beyond, they are not scored, and counted.
	QueueMax int
	// Workers is how many goroutines have answers scored. Default: as many as the scorer has instances, or as there are processors, at
	// most 4.
	Workers int
	// AnswerBytesMax is what is kept of an answer that comes in pieces, for a scorer that doesn't take them as they pass. Default 64 KiB.
	AnswerBytesMax int
	// StreamsMax is how many answers may have an instance of the scorer's to themselves while they are streamed. Default: one less than
	// the scorer has, so that one is left for whole answers.
	StreamsMax int
}

// Scoring has answers scored beside their calls. [Guard.Scoring] takes it.
type Scoring struct {
	scorer AnswerScorer
	// places bounds those that wait, so that who has one never waits to hand it in.
	places chan struct{}
	jobs   chan scoringJob
	done   sync.WaitGroup
	close  sync.Once
	closed atomic.Bool

	answerBytesMax int
	streamsMax     int64
	streams        atomic.Int64
}

type scoringJob struct {
	permit *Permit
	score  func() (Verdict, *ScorerFailure)
}

// NewScoring begins to score by this scorer.
func NewScoring(scorer AnswerScorer, settings ScoringSettings) (*Scoring, error) {
	for _, bound := range []struct {
		value, max int
		key        string
	}{
		{settings.QueueMax, 1 << 20, "QueueMax"}, {settings.Workers, 1024, "Workers"}, {settings.AnswerBytesMax, 1 << 30, "AnswerBytesMax"},
		{settings.StreamsMax, 1024, "StreamsMax"},
	} {
		if bound.value < 0 || bound.value > bound.max {
			return nil, fmt.Errorf("%s is %d, and may be 1 to %d, or 0 for the default", bound.key, bound.value, bound.max)
		}
	}
	instances := min(runtime.GOMAXPROCS(0), 4)
	if bounded, ok := scorer.(interface{ Settings() ScorerSettings }); ok {
		instances = bounded.Settings().InstancesMax
	}
	if settings.QueueMax == 0 {
		settings.QueueMax = 256
	}
	if settings.Workers == 0 {
		settings.Workers = instances
	}
	if settings.AnswerBytesMax == 0 {
		settings.AnswerBytesMax = 64 << 10
	}
	if settings.StreamsMax == 0 {
		settings.StreamsMax = instances - 1
	}
	made := &Scoring{
		scorer: scorer, places: make(chan struct{}, settings.QueueMax), jobs: make(chan scoringJob, settings.QueueMax),
		answerBytesMax: settings.AnswerBytesMax, streamsMax: int64(settings.StreamsMax),
	}
	for range settings.Workers {
		made.done.Go(made.work)
	}
	return made, nil
}

// Scorer is the one that scores.
func (s *Scoring) Scorer() AnswerScorer { return s.scorer }

// Close ends it, when what waits is scored. Answers of calls that are made with it after that aren't scored, and are counted as such.
func (s *Scoring) Close() {
	s.close.Do(func() {
		s.closed.Store(true)
		// Whoever has a place hands in what it is for, and gives it back when that is scored: once all are here, nobody will.
		for range cap(s.places) {
			s.places <- struct{}{}
		}
		close(s.jobs)
	})
	s.done.Wait()
}

func (s *Scoring) work() {
	for job := range s.jobs {
		verdict, failure := job.score()
		s.handIn(job.permit, verdict, failure)
		<-s.places
	}
}

// handIn reports what the scorer has said to the call. A failure is told, and is no score.
func (s *Scoring) handIn(permit *Permit, verdict Verdict, failure *ScorerFailure) {
	if s.tell(permit.breaker, failure); verdict.Scored {
		permit.reportScored(verdict.Score)
	} else {
		permit.ReportMissing()
	}
}

// takeSlot takes one of the places of those who may hold an instance; not ok where all are taken.
func (s *Scoring) takeSlot() bool {
	for {
		taken := s.streams.Load()
		if taken >= s.streamsMax {
			return false
		}
		if s.streams.CompareAndSwap(taken, taken+1) {
			return true
		}
	}
}

// reserve says whether there is a place for one more answer, which is then to be submitted. Where there is none, that is counted.
func (s *Scoring) reserve(breaker *Breaker) bool {
	if !s.closed.Load() {
		select {
		case s.places <- struct{}{}:
			return true
		default:
		}
	}
	breaker.meters.scorer(s.scorer.Name(), "")
	return false
}

func (s *Scoring) submit(permit *Permit, exchange *Exchange) {
	s.jobs <- scoringJob{permit: permit, score: func() (Verdict, *ScorerFailure) { return scoreCaught(s.scorer, exchange) }}
}

// scoreOf has an answer scored now. A failure is told, and is no score.
func (s *Scoring) scoreOf(breaker *Breaker, exchange *Exchange) (float64, bool) {
	verdict, failure := scoreCaught(s.scorer, exchange)
	s.tell(breaker, failure)
	return verdict.Score, verdict.Scored
}

// tell tells of a scorer's failure, if it is one.
func (s *Scoring) tell(breaker *Breaker, failure *ScorerFailure) {
	if failure == nil {
		return
	}
	breaker.meters.scorer(s.scorer.Name(), failure.Reason)
	breaker.home.hub.queue([]queued{{event: &ScorerFailed{Breaker: breaker.name, Scorer: s.scorer.Name(), Failure: failure}}})
	breaker.home.hub.deliver()
}

// caughtScorer runs a scorer that may be anybody's: what it panics with is a failure of its own, and so is any error.
func caughtScorer[T any](run func() (T, error)) (said T, failure *ScorerFailure) {
	defer func() {
		if panicked := recover(); panicked != nil {
			failure = &ScorerFailure{Reason: "panicked", Text: core.Shortened(fmt.Sprintf("it panicked: %v", panicked))}
		}
	}()
	said, err := run()
	if err != nil && !errors.As(err, &failure) {
		failure = &ScorerFailure{Reason: "other", Text: core.Shortened(err.Error())}
	}
	return said, failure
}

// scoreCaught asks for a score. What is none is a failure.
func scoreCaught(scorer AnswerScorer, exchange *Exchange) (Verdict, *ScorerFailure) {
	return checked(caughtScorer(func() (Verdict, error) { return scorer.Score(exchange) }))
}

// checked is what a scorer has said, where that is no nonsense.
func checked(verdict Verdict, failure *ScorerFailure) (Verdict, *ScorerFailure) {
	switch {
	case failure != nil:
		return Verdict{}, failure
	case verdict.Scored && checkScore(verdict.Score) != nil:
		return Verdict{}, invalidScore(verdict.Score)
	}
	return verdict, nil
}
