// The scorer's two functions: its configuration, and what it says of an exchange.

// Program code-blocks scores answers by how much of the code in them parses, by the parsers of Go's own library.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"code-blocks/scorer"
)

// settings are the scorer's configuration.
type settings struct {
	// Languages are those that are looked at.
	Languages []string `json:"languages"`
	// Required says that an answer without such a block is worth nothing; else the scorer abstains from it.
	Required bool `json:"required"`
}

var config settings

func init() { scorer.Register(configure, score) }

// A scorer is a library: nobody calls its main function.
func main() {}

func configure(text string) []scorer.Problem {
	config = settings{Languages: languages()}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&config)
	if err == nil && decoder.Decode(new(any)) != io.EOF {
		err = errors.New("something follows the object")
	}
	if err != nil {
		var wrong *json.UnmarshalTypeError
		key := ""
		if errors.As(err, &wrong) {
			key = wrong.Field
		}
		example := `the configuration is JSON, as in {"languages": ["go", "json"], "required": true}`
		return []scorer.Problem{{Key: key, Message: fmt.Sprintf("%v; %s", err, example)}}
	}
	var problems []scorer.Problem
	for _, name := range config.Languages {
		if parsers[name] == nil {
			message := fmt.Sprintf("`%s` is none that can be parsed here: %s are", name, strings.Join(languages(), ", "))
			problems = append(problems, scorer.Problem{Key: "languages", Message: message})
		}
	}
	if len(config.Languages) == 0 {
		problems = append(problems, scorer.Problem{Key: "languages", Message: "none is named; leave the key away for all of them"})
	}
	return problems
}

// score is the share of an answer's blocks of code that parse. The last one counts as broken where the answer breaks off in it.
func score(exchange *scorer.Exchange) (scorer.Verdict, error) {
	kind := exchange.Answer.ContentType
	if kind != "" && !strings.HasPrefix(kind, "text/") {
		return scorer.Abstain("answers of the type " + kind + " have no blocks of code"), nil
	}
	blocks, parsed := 0, 0
	for _, block := range fenced(string(exchange.Answer.Bytes)) {
		language := canonical(block.language)
		if !slices.Contains(config.Languages, language) {
			continue
		}
		if !block.closed && exchange.Answer.Truncated {
			// It was the host that cut it.
			continue
		}
		blocks++
		if block.closed && parsers[language](block.code) {
			parsed++
		}
	}
	if blocks == 0 && !config.Required {
		return scorer.Abstain("the answer has no code in " + strings.Join(config.Languages, ", ")), nil
	}
	return scorer.Score(float64(parsed) / float64(max(blocks, 1))), nil
}
