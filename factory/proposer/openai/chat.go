package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of a conversation with the service.
const (
	maxAnswerBytes = 4 << 20
	triesMax       = 4
	firstWait      = 500 * time.Millisecond // doubles from try to try, unless the service says
	longestWait    = 20 * time.Second
)

// model is a service's model.
type model struct {
	base, key, name string
	timeout         time.Duration // of one question, repeats included
}

// chatRequest and chatAnswer are what the program needs of
// POST /chat/completions.
type chatRequest struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatAnswer struct {
	Choices []struct {
		Message message `json:"message"`
	} `json:"choices"`
}

// again is a failure after which the same question may work.
type again struct {
	err  error
	wait time.Duration // 0: not said
}

func (a again) Error() string { return a.err.Error() }
func (a again) Unwrap() error { return a.err }

// complete asks once, and again while the service is busy and there is time.
func (m model) complete(ctx context.Context, system, user string) (string, error) {
	body, err := json.Marshal(chatRequest{Model: m.name, Messages: []message{{"system", system}, {"user", user}}})
	if err != nil {
		return "", err
	}
	wait := firstWait
	for try := 1; ; try++ {
		text, err := m.post(ctx, body)
		var busy again
		if err == nil || !errors.As(err, &busy) || try == triesMax {
			return text, err
		}
		if busy.wait > 0 {
			wait = busy.wait
		}
		pause, cancel := context.WithTimeout(ctx, min(wait, longestWait))
		<-pause.Done()
		cancel()
		if ctx.Err() != nil {
			return "", fmt.Errorf("no time is left to ask again: %w", err)
		}
		wait *= 2
	}
}

func (m model) post(ctx context.Context, body []byte) (text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(m.base, "/")+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if m.key != "" {
		r.Header.Set("Authorization", "Bearer "+m.key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("no answer within %v: %w", m.timeout, ctx.Err())
		}
		return "", again{err: err}
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the answer: %w", err)
	case len(b) > maxAnswerBytes:
		return "", fmt.Errorf("an answer of more than %d bytes", maxAnswerBytes)
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500:
		return "", again{err: said(answer.Status, b), wait: retryAfter(answer.Header)}
	case answer.StatusCode != http.StatusOK:
		return "", said(answer.Status, b)
	}
	var a chatAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return "", fmt.Errorf("the answer is no chat completion: %w", err)
	}
	if len(a.Choices) == 0 {
		return "", errors.New("the answer holds no choice")
	}
	return a.Choices[0].Message.Content, nil
}

// said is what a service that refused gave as its reason.
func said(status string, body []byte) error {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return fmt.Errorf("%s: %.300s", status, e.Error.Message)
	}
	return errors.New(status)
}

// retryAfter reads seconds; the date form is left to the waiting that doubles.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.ParseFloat(h.Get("Retry-After"), 64)
	if err != nil || !(s > 0) {
		return 0
	}
	return time.Duration(min(s, longestWait.Seconds()) * float64(time.Second))
}
