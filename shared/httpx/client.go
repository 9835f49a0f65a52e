package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Client calls one service. It is safe for concurrent use.
type Client struct {
	base string
	name string // of the service in messages: base without what may be a secret
	http *http.Client
}

// maxAnswer bounds the body that a client reads from a peer.
const maxAnswer = 64 << 20

// NewClient makes a client of the service at base, for example
// "http://127.0.0.1:8071". It reuses the connections of hc.
func NewClient(base string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		public := base[strings.LastIndexByte(base, '@')+1:]
		return nil, fmt.Errorf("%q is not the base URL of a service (http://host:port)", public)
	}
	return &Client{base: strings.TrimRight(base, "/"), name: u.Scheme + "://" + u.Host, http: hc}, nil
}

// NewHTTPClient makes an http.Client for calls between services: connections
// are kept and reused, the replicas behind a name get requests by turns,
// dialling is bounded, the time of a call is its context's affair.
func NewHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: newSpread(&http.Transport{
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
	}, dialer)}
}

// Call is one request. In (JSON) and Out may be nil.
type Call struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	In     any
	Out    any
}

// Do makes the call and decodes the answer into Out. An error answer comes
// back as the errs.Error it was on the other side; a peer that cannot be
// reached as errs.Unavailable. It returns the HTTP status when there was one.
func (c *Client) Do(ctx context.Context, call Call) (int, error) {
	var body io.Reader
	if call.In != nil {
		data, err := rawjson.Marshal(call.In)
		if err != nil {
			return 0, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	target := c.base + call.Path
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, target, body)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	for name, values := range call.Header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if id := RequestID(ctx); id != "" {
		req.Header.Set(HeaderRequestID, id)
	}
	tracing.Send(ctx, req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, errs.Wrap(err, errs.DeadlineExceeded, "%s %s did not answer in time", call.Method, c.name)
		}
		return 0, errs.Wrap(err, errs.Unavailable, "%s cannot be reached", c.name)
	}
	defer func() {
		// What is left unread would keep the connection from being reused.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		_ = resp.Body.Close()
	}()
	return resp.StatusCode, c.answer(resp, call)
}

func (c *Client) answer(resp *http.Response, call Call) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "the answer of %s broke off", c.name)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("read the answer of %s %s: the answer is over %d bytes", call.Method, call.Path, maxAnswer)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return problemError(resp, data)
	}
	if call.Out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(data, call.Out); err != nil {
		return fmt.Errorf("decode the answer of %s %s: %w", call.Method, call.Path, err)
	}
	return nil
}

// problemError rebuilds the error of the other side. What is no problem+json
// (a proxy in between, say) gets a code by its status.
func problemError(resp *http.Response, data []byte) error {
	var p Problem
	if err := json.Unmarshal(data, &p); err == nil && p.Code != "" {
		return &errs.Error{Code: p.Code, Detail: p.Detail, Faults: p.Faults}
	}
	code := errs.Internal
	switch resp.StatusCode {
	case http.StatusBadRequest:
		code = errs.InvalidArgument
	case http.StatusRequestEntityTooLarge:
		code = errs.BodyTooLarge
	case http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// A 404 too: only the service itself knows that a thing does not exist. A
		// proxy knows that it has no service to ask, as in the middle of a roll-out.
		code = errs.Unavailable
	}
	return errs.New(code, "%s answered %s", resp.Request.URL.Host, resp.Status)
}

// SetQuery sets a query parameter unless its value is empty.
func SetQuery(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// SetQueryInt sets a query parameter unless its value is zero.
func SetQueryInt(query url.Values, name string, value int) {
	if value != 0 {
		query.Set(name, strconv.Itoa(value))
	}
}
