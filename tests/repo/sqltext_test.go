package repo

import (
	"fmt"
	"strings"
	"unicode"
)

// A statement is its tokens: words in upper case, quoted names and literals
// with their quotes, and every other character by itself.
type statement []string

// statements takes SQL text apart, in as much of either dialect as decides
// where a statement ends: comments, literals, quoted names and dollar quotes
// may hold semicolons.
func statements(text string) ([]statement, error) {
	var all []statement
	var one statement
	for text != "" {
		token, rest, err := nextToken(text)
		if err != nil {
			return nil, err
		}
		text = rest
		switch token {
		case "":
		case ";":
			if len(one) > 0 {
				all = append(all, one)
			}
			one = nil
		default:
			one = append(one, token)
		}
	}
	if len(one) > 0 {
		return nil, fmt.Errorf("no semicolon after %s", one)
	}
	return all, nil
}

// nextToken is the first token and the text behind it; "" for space and
// comments.
func nextToken(text string) (token, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "--"):
		_, rest, _ = strings.Cut(text, "\n")
		return "", rest, nil
	case strings.HasPrefix(text, "/*"):
		rest, err = afterComment(text)
		return "", rest, err
	case text[0] == '\'':
		return quoted(text, '\'')
	case text[0] == '"':
		return quoted(text, '"')
	case text[0] == '$':
		return dollarQuoted(text)
	}
	end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
	if end < 0 {
		end = len(text)
	}
	if end > 0 {
		return strings.ToUpper(text[:end]), text[end:], nil
	}
	if unicode.IsSpace(rune(text[0])) {
		return "", text[1:], nil
	}
	return text[:1], text[1:], nil
}

func isWord(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// afterComment is what is behind a block comment, which PostgreSQL nests.
func afterComment(text string) (string, error) {
	depth := 0
	for at := 0; at+1 < len(text); at++ {
		switch text[at : at+2] {
		case "/*":
			depth++
			at++
		case "*/":
			depth--
			at++
		}
		if depth == 0 {
			return text[at+1:], nil
		}
	}
	return "", fmt.Errorf("a comment does not end: %.40s", text)
}

// quoted is a token in quotes; doubled quotes are part of it.
func quoted(text string, quote byte) (token, rest string, err error) {
	for at := 1; at < len(text); at++ {
		if text[at] != quote {
			continue
		}
		if at+1 < len(text) && text[at+1] == quote {
			at++
			continue
		}
		return text[:at+1], text[at+1:], nil
	}
	return "", "", fmt.Errorf("a quote does not end: %.40s", text)
}

func dollarQuoted(text string) (token, rest string, err error) {
	end := strings.IndexByte(text[1:], '$')
	if end < 0 || strings.IndexFunc(text[1:end+1], func(r rune) bool { return !isWord(r) }) >= 0 {
		return "$", text[1:], nil
	}
	tag := text[:end+2]
	body, rest, found := strings.Cut(text[len(tag):], tag)
	if !found {
		return "", "", fmt.Errorf("a dollar quote does not end: %.40s", text)
	}
	return tag + body + tag, rest, nil
}

// take is the statement behind the words that it begins with.
func (s statement) take(words ...string) (statement, bool) {
	if len(s) < len(words) {
		return s, false
	}
	for i, word := range words {
		if s[i] != word {
			return s, false
		}
	}
	return s[len(words):], true
}

// skip is the statement without the words, if it begins with them.
func (s statement) skip(words ...string) statement {
	rest, _ := s.take(words...)
	return rest
}

// name is the next token as the name of something; unquoted names are in
// capitals, as all words here.
func (s statement) name() (string, statement) {
	if len(s) == 0 {
		return "", nil
	}
	return strings.ToUpper(strings.Trim(s[0], `"`)), s[1:]
}

func (s statement) has(word string) bool {
	for _, token := range s {
		if token == word {
			return true
		}
	}
	return false
}

// parts splits at the commas that are in no parentheses.
func (s statement) parts() []statement {
	var all []statement
	depth, start := 0, 0
	for i, token := range s {
		switch token {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 0 {
				all = append(all, s[start:i])
				start = i + 1
			}
		}
	}
	return append(all, s[start:])
}
