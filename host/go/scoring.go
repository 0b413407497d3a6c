// Scoring beside the call: answers wait, up to a bound, for a few goroutines that have them scored and report the scores late.

package softfuse

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// ScoringSettings say how answers are scored beside their calls. The zero value means the defaults.
type ScoringSettings struct {
	// QueueMax is how many answers may wait or be scored at once. Default 256. Beyond, they are not scored, and counted.
	QueueMax int
	// Workers is how many goroutines have answers scored. Default: as many as the scorer has instances.
	Workers int
}

// Scoring has answers scored beside their calls. [Guard.Scoring] takes it.
type Scoring struct {
	scorer *Scorer
	// places bounds those that wait, so that who has one never waits to hand it in.
	places chan struct{}
	jobs   chan scoringJob
	done   sync.WaitGroup
	close  sync.Once
	closed atomic.Bool
}

type scoringJob struct {
	permit   *Permit
	exchange *Exchange
}

// NewScoring begins to score by this scorer.
func NewScoring(scorer *Scorer, settings ScoringSettings) (*Scoring, error) {
	if settings.QueueMax < 0 || settings.QueueMax > 1<<20 || settings.Workers < 0 || settings.Workers > 1024 {
		return nil, fmt.Errorf("%+v: QueueMax may be 1 to %d, Workers 1 to 1024, or 0 for the default", settings, 1<<20)
	}
	if settings.QueueMax == 0 {
		settings.QueueMax = 256
	}
	if settings.Workers == 0 {
		settings.Workers = scorer.settings.InstancesMax
	}
	made := &Scoring{scorer: scorer, places: make(chan struct{}, settings.QueueMax), jobs: make(chan scoringJob, settings.QueueMax)}
	for range settings.Workers {
		made.done.Go(made.work)
	}
	return made, nil
}

// Scorer is the one that scores.
func (s *Scoring) Scorer() *Scorer { return s.scorer }

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
		if score, ok := s.scoreOf(job.permit.breaker, job.exchange); ok {
			job.permit.reportScored(score)
		} else {
			job.permit.ReportMissing()
		}
		<-s.places
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
	breaker.meters.scorer(s.scorer.name, "")
	return false
}

func (s *Scoring) submit(permit *Permit, exchange *Exchange) {
	s.jobs <- scoringJob{permit: permit, exchange: exchange}
}

// scoreOf has an answer scored now. A failure is told, and is no score.
func (s *Scoring) scoreOf(breaker *Breaker, exchange *Exchange) (float64, bool) {
	verdict, failure := s.scorer.score(exchange)
	if failure != nil {
		breaker.meters.scorer(s.scorer.name, failure.Reason)
		breaker.home.hub.queue([]queued{{event: &ScorerFailed{Breaker: breaker.name, Scorer: s.scorer.name, Failure: failure}}})
		breaker.home.hub.deliver()
		return 0, false
	}
	return verdict.Score, verdict.Scored
}
