// Scores an answer that comes in pieces, as whoever passes them on sees them.

package softfuse

import "sync"

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
// [ScoringSettings.AnswerBytesMax], and it sees them at the end.
//
// Any goroutine may use it: who reads the answer on, and who closes it meanwhile. What is pushed after its end isn't looked at, and of
// several ends the first counts.
type AnswerStream struct {
	// lock is held while the scorer looks at a piece, so that it sees one at a time, and never one after the end. The end takes what the
	// scorer still needs out of here, and holds nobody up.
	lock sync.Mutex
	answerInPieces
	// over: it has ended.
	over bool
}

// answerInPieces is what there is of an answer, and what its scorer has said of it by now.
type answerInPieces struct {
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
	made := &AnswerStream{over: reporter.permit == nil, answerInPieces: answerInPieces{scoring: s, permit: reporter.permit, exchange: &Exchange{
		Operation: exchange.Operation, Model: exchange.Model, Request: exchange.Request, Metadata: exchange.Metadata,
		Answer: Body{ContentType: exchange.Answer.ContentType},
	}}}
	streaming, ok := s.scorer.(StreamScorer)
	if made.over || !ok || !streaming.Streams() || !s.takeSlot() {
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
	a.lock.Lock()
	defer a.lock.Unlock()
	if !a.over && !a.spoken {
		a.look(piece)
	}
	if a.spoken && a.failure == nil {
		said := a.verdict
		return &said
	}
	return nil
}

// Finish says that the answer has ended; not complete, where it broke off. It waits for the score, and hands it in. The error is a
// [*ScorerFailure].
func (a *AnswerStream) Finish(complete bool) (Verdict, error) {
	whole := a.end()
	if whole == nil {
		return Verdict{}, nil
	}
	verdict, failure := whole.ended(complete)
	whole.scoring.handIn(whole.permit, verdict, failure)
	if failure != nil {
		return verdict, failure
	}
	return verdict, nil
}

// FinishLater is [AnswerStream.Finish] beside the call. Where too many answers wait, it isn't scored, and that is counted.
func (a *AnswerStream) FinishLater(complete bool) {
	switch whole := a.end(); {
	case whole == nil:
	case !whole.scoring.reserve(whole.permit.breaker):
		whole.letGo()
		whole.permit.ReportMissing()
	default:
		whole.scoring.jobs <- scoringJob{permit: whole.permit, score: func() (Verdict, *ScorerFailure) { return whole.ended(complete) }}
	}
}

// Discard gives it up, without a score. Who has promised one says that it won't come, by [Reporter.ReportMissing].
func (a *AnswerStream) Discard() {
	if whole := a.end(); whole != nil {
		whole.letGo()
	}
}

// end ends it, when the scorer has looked at the piece that it is shown now: what there is, for whoever ends it; nil where it had ended.
func (a *AnswerStream) end() *answerInPieces {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.over {
		return nil
	}
	whole := a.answerInPieces
	a.over, a.stream, a.exchange, a.slot = true, nil, nil, false
	return &whole
}

// look has the scorer see a piece, or keeps it.
func (a *answerInPieces) look(piece []byte) {
	if a.stream == nil {
		answer := &a.exchange.Answer
		kept := min(len(piece), a.scoring.answerBytesMax-len(answer.Bytes))
		answer.Bytes = append(answer.Bytes, piece[:kept]...)
		answer.Truncated = answer.Truncated || kept < len(piece)
		return
	}
	verdict, failure := caughtScorer(func() (*Verdict, error) { return a.stream.Push(piece) })
	switch {
	case failure != nil:
		a.speak(Verdict{}, failure)
	case verdict != nil:
		a.speak(checked(*verdict, nil))
	}
}

// speak takes down what the scorer has said before the end.
func (a *answerInPieces) speak(verdict Verdict, failure *ScorerFailure) {
	a.spoken, a.verdict, a.failure = true, verdict, failure
	a.letGo()
}

// letGo gives the scorer's instance back.
func (a *answerInPieces) letGo() {
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

// ended is what the whole came to.
func (a *answerInPieces) ended(complete bool) (Verdict, *ScorerFailure) {
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
	return checked(caughtScorer(func() (Verdict, error) { return stream.Finish(complete) }))
}
