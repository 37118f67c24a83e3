package vip

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// TCP's flags are in the 14th byte of its header (RFC 9293).
const (
	tcpFlagsOffset = 13
	tcpSYN         = 0x02
	tcpACK         = 0x10
)

// hold drops the first packet of new connections to the address, whatever the
// port, until release is called or holdLife is over. It needs nf_tables in the
// kernel (since 3.13), and no program on the host.
func hold(address netip.Addr) (release func() error, err error) {
	family, offset, key := nftables.TableFamilyIPv4, uint32(16), nftables.TypeIPAddr
	if address.Is6() {
		family, offset, key = nftables.TableFamilyIPv6, 24, nftables.TypeIP6Addr
	}
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("reach nftables: %w", err)
	}
	// What an agent that died left; adding first makes deleting no error.
	table := &nftables.Table{Name: holdTable, Family: family}
	c.AddTable(table)
	c.DelTable(table)
	table = c.AddTable(&nftables.Table{Name: holdTable, Family: family})
	held := &nftables.Set{Table: table, Name: "held", KeyType: key, HasTimeout: true, Timeout: holdLife}
	if err := c.AddSet(held, []nftables.SetElement{{Key: address.AsSlice(), Timeout: holdLife}}); err != nil {
		return nil, fmt.Errorf("make a set of nftables: %w", err)
	}
	chain := c.AddChain(&nftables.Chain{
		Table: table, Name: "prerouting", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(address.BitLen() / 8)},
		&expr.Lookup{SourceRegister: 1, SetName: held.Name, SetID: held.ID},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpSYN | tcpACK}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{tcpSYN}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("put a rule into nftables: %w", err)
	}
	return func() error {
		c.DelTable(table)
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("take a rule out of nftables: %w", err)
		}
		return nil
	}, nil
}
