// The scorer's two functions: its configuration, and what it says of an exchange.

// Program new-scorer scores answers by how many words they have: a beginning, to be replaced by your own idea of a good answer.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"new-scorer/scorer"
)

// wordsDefault are the words of a whole answer, where the configuration says nothing else.
const wordsDefault = 20

var wordsWanted uint64 = wordsDefault

func init() { scorer.Register(configure, score) }

// A scorer is a library: nobody calls its main function.
func main() {}

func configure(config string) []scorer.Problem {
	wordsWanted = wordsDefault
	text := strings.TrimSpace(config)
	if text == "" {
		return nil
	}
	words, err := strconv.ParseUint(text, 10, 32)
	if err != nil || words == 0 {
		return []scorer.Problem{{Message: fmt.Sprintf("`%s` is none: a number of words is wanted, as in 20", text)}}
	}
	wordsWanted = words
	return nil
}

func score(exchange *scorer.Exchange) (scorer.Verdict, error) {
	kind := exchange.Answer.ContentType
	if kind != "" && !strings.HasPrefix(kind, "text/") {
		return scorer.Abstain("an answer of the type " + kind + " has no words"), nil
	}
	words := len(strings.Fields(string(exchange.Answer.Bytes)))
	return scorer.Score(min(1, float64(words)/float64(wordsWanted))), nil
}
