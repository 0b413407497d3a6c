// Scores an answer that comes in pieces, as whoever passes them on sees them.

package softfuse

// StreamScorer is an [AnswerScorer] that takes answers in pieces, as they pass.
type StreamScorer interface {
	AnswerScorer
	// Streams says whether it does. Of one that doesn't, the pieces are collected.
	Streams() bool
	// Stream begins to score an answer of which this is known by now; the answer itself has a content type, and no bytes.
	Stream(exchange *Exchange) (ScoreStream, error)
}

// ScoreStream is one answer that is being scored. One goroutine at a time uses it, and ends it by Finish or Discard, once.
type ScoreStream interface {
	// Push shows the next piece, in order, in bounded time. A verdict may come before the end: an answer that is worthless already need not
	// be read on. After one, or an error, no more pieces are shown.
	Push(piece []byte) (*Verdict, error)
	// Finish says that the answer has ended; not complete, where it broke off.
	Finish(complete bool) (Verdict, error)
	// Discard gives it up, without a score.
	Discard()
}

// AnswerStream is an answer that is being streamed through the program, and scored: [Scoring.Stream] begins it.
//
// A scorer that takes streams sees each piece as it passes, on the goroutine that pushes it, and has an instance to itself for this answer,
// as far as [ScoringSettings.StreamsMax] allows. Beyond, and for a scorer that takes none, the pieces are collected up to
// [ScoringSettings.AnswerBytesMax], and it sees them at the end. One goroutine at a time uses it.
type AnswerStream struct {
	scoring  *Scoring
	permit   *Permit
	exchange *Exchange
	// stream is the scorer's; nil where the pieces are collected, or it has spoken.
	stream ScoreStream
	// spoken: the scorer has, by a verdict or a failure, before the end.
	spoken  bool
	verdict Verdict
	failure *ScorerFailure
	// slot: it has one of those that may hold an instance.
	slot bool
}

// Stream begins to score an answer that comes in pieces. The score goes to the call's reporter: into its outcome if the call is still
// under way, else to the breaker as a late score, which the call's outcome has promised (as pending). `exchange` is what is known by now:
// its answer has a content type, and no bytes.
func (s *Scoring) Stream(reporter Reporter, exchange *Exchange) *AnswerStream {
	made := &AnswerStream{scoring: s, permit: reporter.permit, exchange: &Exchange{
		Operation: exchange.Operation, Model: exchange.Model, Request: exchange.Request, Metadata: exchange.Metadata,
		Answer: Body{ContentType: exchange.Answer.ContentType},
	}}
	streaming, ok := s.scorer.(StreamScorer)
	if made.permit == nil || !ok || !streaming.Streams() || !s.takeSlot() {
		return made
	}
	made.slot = true
	stream, failure := caughtScorer(func() (ScoreStream, error) { return streaming.Stream(made.exchange) })
	if failure != nil {
		made.speak(Verdict{}, failure)
		return made
	}
	made.stream = stream
	return made
}

// Push shows the scorer the next piece. What it has said, where it has spoken before the end; further pieces are not looked at then.
func (a *AnswerStream) Push(piece []byte) *Verdict {
	switch {
	case a.spoken || a.permit == nil:
	case a.stream == nil:
		answer := &a.exchange.Answer
		kept := min(len(piece), a.scoring.answerBytesMax-len(answer.Bytes))
		answer.Bytes = append(answer.Bytes, piece[:kept]...)
		answer.Truncated = answer.Truncated || kept < len(piece)
	default:
		verdict, failure := caughtScorer(func() (*Verdict, error) { return a.stream.Push(piece) })
		if failure != nil {
			a.speak(Verdict{}, failure)
		} else if verdict != nil {
			a.speak(*verdict, nil)
		}
	}
	if a.spoken && a.failure == nil {
		return &a.verdict
	}
	return nil
}

// speak takes down what the scorer has said before the end.
func (a *AnswerStream) speak(verdict Verdict, failure *ScorerFailure) {
	a.spoken, a.verdict, a.failure = true, verdict, failure
	a.letGo()
}

// letGo gives the scorer's instance back.
func (a *AnswerStream) letGo() {
	if a.stream != nil {
		stream := a.stream
		a.stream = nil
		_, _ = caughtScorer(func() (struct{}, error) { stream.Discard(); return struct{}{}, nil })
	}
	if a.slot {
		a.slot = false
		a.scoring.streams.Add(-1)
	}
}

// Finish says that the answer has ended; not complete, where it broke off. It waits for the score, and hands it in. The error is a
// [*ScorerFailure].
func (a *AnswerStream) Finish(complete bool) (Verdict, error) {
	if a.permit == nil {
		return Verdict{}, nil
	}
	verdict, failure := a.ended(complete)
	a.handIn(verdict, failure)
	if failure != nil {
		return verdict, failure
	}
	return verdict, nil
}

// FinishLater is [AnswerStream.Finish] beside the call. Where too many answers wait, it isn't scored, and that is counted.
func (a *AnswerStream) FinishLater(complete bool) {
	switch {
	case a.permit == nil:
	case !a.scoring.reserve(a.permit.breaker):
		a.letGo()
		a.permit.ReportMissing()
		a.permit = nil
	default:
		a.scoring.jobs <- scoringJob{permit: a.permit, score: func() (Verdict, *ScorerFailure) { return a.ended(complete) }}
	}
}

// Discard gives it up, without a score. Who has promised one says that it won't come, by [Reporter.ReportMissing].
func (a *AnswerStream) Discard() {
	a.letGo()
	a.permit = nil
}

// ended is what the whole came to.
func (a *AnswerStream) ended(complete bool) (Verdict, *ScorerFailure) {
	defer a.letGo()
	switch {
	case a.spoken:
		return a.verdict, a.failure
	case a.stream == nil:
		a.exchange.Answer.Truncated = a.exchange.Answer.Truncated || !complete
		return scoreCaught(a.scoring.scorer, a.exchange)
	}
	stream := a.stream
	a.stream = nil
	verdict, failure := caughtScorer(func() (Verdict, error) { return stream.Finish(complete) })
	if failure == nil && verdict.Scored && checkScore(verdict.Score) != nil {
		return Verdict{}, invalidScore(verdict.Score)
	}
	return verdict, failure
}

func (a *AnswerStream) handIn(verdict Verdict, failure *ScorerFailure) {
	a.scoring.handIn(a.permit, verdict, failure)
	a.permit = nil
}
