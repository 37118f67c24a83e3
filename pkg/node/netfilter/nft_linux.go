package netfilter

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// standard are the tables that iptables-nft makes, with its base chains: it makes
// them when they are needed, and never removes them.
var standard = []string{"filter", "nat", "mangle", "raw", "security"}

var families = map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6"}

// Chains lists the chains of iptables-nft that are there, as "ip nat PREROUTING".
func Chains() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("reach nftables: %w", err)
	}
	all, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list the chains of nftables: %w", err)
	}
	var out []string
	for _, ch := range all {
		if families[ch.Table.Family] != "" && slices.Contains(standard, ch.Table.Name) && !ours(ch.Name) {
			out = append(out, name(ch))
		}
	}
	slices.Sort(out)
	return out, nil
}

func name(ch *nftables.Chain) string {
	return families[ch.Table.Family] + " " + ch.Table.Name + " " + ch.Name
}

// plan is what one batch takes out.
type plan struct {
	Found
	tables []*nftables.Table
	chains []*nftables.Chain
	rules  []*nftables.Rule
	empty  []*nftables.Chain
}

// Clean takes out what is Kubernetes', all at once, when do is true; else it only
// tells what that would be. Base chains of iptables-nft that are left without any
// rule, accept everything and are not among keep, which are those that were there
// before, go as well, and their tables when they are empty.
func Clean(keep []string, do bool) (Found, error) {
	c, err := nftables.New()
	if err != nil {
		return Found{}, fmt.Errorf("reach nftables: %w", err)
	}
	p, err := look(c, keep)
	if err != nil || !do || p.Nothing() {
		return p.Found, err
	}
	for _, r := range p.rules {
		if err := c.DelRule(r); err != nil {
			return p.Found, fmt.Errorf("take a rule out of nftables: %w", err)
		}
	}
	// Chains lead into each other: all must be empty before the first goes.
	for _, ch := range p.chains {
		c.FlushChain(ch)
	}
	for _, ch := range slices.Concat(p.chains, p.empty) {
		c.DelChain(ch)
	}
	for _, t := range p.tables {
		c.DelTable(t)
	}
	if err := c.Flush(); err != nil {
		return p.Found, fmt.Errorf("take the rules of Kubernetes out of nftables: %w", err)
	}
	return p.Found, nil
}

// look finds what is to go.
func look(c *nftables.Conn, keep []string) (plan, error) {
	var p plan
	all, err := c.ListChains()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return p, nil // A kernel without nf_tables has none of them.
	}
	if err != nil {
		return p, fmt.Errorf("list the chains of nftables: %w", err)
	}
	known, err := c.ListTables()
	if err != nil {
		return p, fmt.Errorf("list the tables of nftables: %w", err)
	}
	left := map[string]int{} // chains that stay, by table
	for _, ch := range all {
		if slices.Contains(tables, ch.Table.Name) {
			continue
		}
		stays, err := p.judge(c, ch, keep)
		if err != nil {
			return p, err
		}
		if stays {
			left[tableName(ch.Table)]++
		}
	}
	for _, t := range known {
		whole := slices.Contains(tables, t.Name)
		if whole {
			p.Found.Tables = append(p.Found.Tables, tableName(t))
		}
		// A table that had no chain before either is somebody's.
		emptied := left[tableName(t)] == 0 && slices.ContainsFunc(slices.Concat(p.chains, p.empty), func(ch *nftables.Chain) bool {
			return ch.Table.Family == t.Family && ch.Table.Name == t.Name
		})
		if whole || emptied && families[t.Family] != "" && slices.Contains(standard, t.Name) {
			p.tables = append(p.tables, t)
		}
	}
	return p, nil
}

func tableName(t *nftables.Table) string { return fmt.Sprintf("%d %s", t.Family, t.Name) }

// judge decides about one chain, and tells whether it stays.
func (p *plan) judge(c *nftables.Conn, ch *nftables.Chain, keep []string) (stays bool, err error) {
	if ours(ch.Name) {
		p.chains = append(p.chains, ch)
		p.Found.Chains = append(p.Found.Chains, name(ch))
		return false, nil
	}
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return true, fmt.Errorf("list the rules of the chain %s: %w", name(ch), err)
	}
	others := 0
	for _, r := range rules {
		if leads(r) {
			p.rules = append(p.rules, r)
			p.Found.Rules++
		} else {
			others++
		}
	}
	base := ch.Hooknum != nil && slices.Contains(standard, ch.Table.Name) && families[ch.Table.Family] != ""
	accepts := ch.Policy == nil || *ch.Policy == nftables.ChainPolicyAccept
	if base && accepts && others == 0 && !slices.Contains(keep, name(ch)) {
		p.empty = append(p.empty, ch)
		p.Found.Empty = append(p.Found.Empty, name(ch))
		return false, nil
	}
	return true, nil
}

// leads tells whether a rule leads into a chain of Kubernetes.
func leads(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		v, ok := e.(*expr.Verdict)
		return ok && (v.Kind == expr.VerdictJump || v.Kind == expr.VerdictGoto) && ours(v.Chain)
	})
}
