package softfuse

type ScorerFailure struct{ Text string }
