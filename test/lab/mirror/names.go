package mirror

import (
	"context"
	"errors"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// ServeNames tells everybody who asks for a name that there is none (NXDOMAIN, RFC 1035),
// until ctx ends. Docker asks it for names that are not the lab's; where nobody answered,
// a host would wait 20 seconds for each.
func ServeNames(ctx context.Context, listen string) error {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // nothing was kept back
	question := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(question)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := noSuchName(question[:n])
		if err != nil {
			continue // no question that could be answered
		}
		// Whoever asked is gone; others may ask still.
		_, _ = conn.WriteTo(answer, from)
	}
}

// noSuchName is the answer to a question.
func noSuchName(question []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil, err
	}
	if h.Response {
		return nil, errors.New("it is an answer")
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{Questions: questions, Header: dnsmessage.Header{
		ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError}}
	return m.Pack()
}
