package ssh

import (
	"crypto/rsa"
	"fmt"
	"slices"
	"strconv"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// Algorithms are those that a connection may use, each list in the order of
// preference. An empty list is what the library calls secure.
type Algorithms struct {
	KeyExchanges, Ciphers, MACs []string
	// HostKeys are the host's, for its keys and certificates; UserKeys those of
	// the login; CASignatures those under a host's certificate.
	HostKeys, UserKeys, CASignatures []string
	// RSABits is the least length of an RSA key, of the host and of the user; 0 for any.
	RSABits int
}

// algorithmLists are the keywords of ssh_config with what this program knows of each.
func algorithmLists() map[string]known {
	secure, old := xssh.SupportedAlgorithms(), xssh.InsecureAlgorithms()
	keys := append(certificates(xssh.CertAlgoSKED25519v01, xssh.CertAlgoSKECDSA256v01), plainKeys()...)
	return map[string]known{
		"ciphers":                  {secure.Ciphers, old.Ciphers},
		"macs":                     {secure.MACs, old.MACs},
		"kexalgorithms":            {append(secure.KeyExchanges, "curve25519-sha256@libssh.org"), old.KeyExchanges},
		"hostkeyalgorithms":        {hostKeyAlgorithms(), []string{xssh.KeyAlgoRSA}},
		"pubkeyacceptedalgorithms": {append(keys, xssh.KeyAlgoSKED25519, xssh.KeyAlgoSKECDSA256), []string{xssh.KeyAlgoRSA, xssh.CertAlgoRSAv01}},
		"casignaturealgorithms":    {append(plainKeys(), xssh.KeyAlgoSKED25519, xssh.KeyAlgoSKECDSA256), nil},
	}
}

// known are a kind's algorithms: those that are used unless something else is said,
// and those that are used only when they are named.
type known struct{ usual, old []string }

// plainKeys are the algorithms of keys in OpenSSH's order.
func plainKeys() []string {
	return []string{xssh.KeyAlgoED25519, xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521, xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
}

// certificates are those of certificates, in the same order.
func certificates(more ...string) []string {
	return append([]string{xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01,
		xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01}, more...)
}

// hostKeyAlgorithms are a host's when nothing is said.
func hostKeyAlgorithms() []string { return append(certificates(), plainKeys()...) }

// algorithms reads the lists of the configuration. What this program does not know is
// left out; a list of which nothing is left is an error, since to use something else
// would be against what is written there.
func (r resolver) algorithms(values settings) (Algorithms, error) {
	var a Algorithms
	lists := algorithmLists()
	for _, one := range []struct {
		key, name string
		into      *[]string
	}{
		{"ciphers", "Ciphers", &a.Ciphers}, {"macs", "MACs", &a.MACs}, {"kexalgorithms", "KexAlgorithms", &a.KeyExchanges},
		{"hostkeyalgorithms", "HostKeyAlgorithms", &a.HostKeys}, {"pubkeyacceptedalgorithms", "PubkeyAcceptedAlgorithms", &a.UserKeys},
		{"casignaturealgorithms", "CASignatureAlgorithms", &a.CASignatures},
	} {
		v := values.value(one.key)
		if v == "" {
			continue
		}
		k := lists[one.key]
		if *one.into = k.of(v); len(*one.into) == 0 {
			return a, fmt.Errorf("%s %s: none of it is known to this program, which has %s", one.name, v, strings.Join(append(k.usual, k.old...), ","))
		}
	}
	if v := values.value("requiredrsasize"); v != "" {
		bits, err := strconv.Atoi(v)
		if err != nil {
			return a, fmt.Errorf("RequiredRSASize %q is no number", v)
		}
		a.RSABits = bits
	}
	return a, nil
}

// of is what a list means: the names in it, or, for one that begins with +, - or ^, the
// usual ones with these added, taken out (by patterns) or put first (ssh_config(5),
// Ciphers). ssh -G has done that already.
func (k known) of(list string) []string {
	how := list[0]
	names := strings.Split(strings.TrimLeft(list, "+-^"), ",")
	all := append(slices.Clone(k.usual), k.old...)
	here := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(all, n) })
	var out []string
	switch how {
	case '+':
		out = append(slices.Clone(k.usual), here...)
	case '^':
		out = append(here, k.usual...)
	case '-':
		out = slices.DeleteFunc(slices.Clone(k.usual), func(n string) bool {
			return matchList(names, n)
		})
	default:
		out = here
	}
	return unique(out)
}

// unique keeps the first of each.
func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// config is what the library takes.
func (a Algorithms) config() xssh.Config {
	usual := xssh.SupportedAlgorithms()
	or := func(list, usual []string) []string {
		if len(list) > 0 {
			return list
		}
		return usual
	}
	return xssh.Config{KeyExchanges: or(a.KeyExchanges, usual.KeyExchanges), Ciphers: or(a.Ciphers, usual.Ciphers), MACs: or(a.MACs, usual.MACs)}
}

// hostKeys are those to ask a host for, of those that known_hosts has of it; nil
// when it has none. When the configuration wants only others the host shows one of
// these, which is then not the known one.
func (a Algorithms) hostKeys(has []string) []string {
	both := slices.DeleteFunc(slices.Clone(a.HostKeys), func(n string) bool { return !slices.Contains(has, n) })
	switch {
	case len(both) > 0:
		return both
	case len(a.HostKeys) > 0:
		return a.HostKeys
	case len(has) > 0:
		return has
	}
	return hostKeyAlgorithms()
}

// userKey is a key as it may be used for the login; why says what keeps it from that.
// certificate is for a key whose certificate is shown.
func (a Algorithms) userKey(s xssh.Signer, certificate bool) (restricted xssh.Signer, why string) {
	if why := a.tooShort(s.PublicKey()); why != "" {
		return nil, why
	}
	if len(a.UserKeys) == 0 {
		return s, ""
	}
	kind := s.PublicKey().Type()
	var may []string
	for _, algorithm := range a.UserKeys {
		plain := strings.TrimSuffix(algorithm, certificateSuffix)
		if certificate != (plain != algorithm) {
			continue
		}
		if certificate && strings.HasPrefix(plain, "sk-") {
			plain += "@openssh.com"
		}
		if plain == kind || kind == xssh.KeyAlgoRSA && strings.HasPrefix(plain, "rsa-sha2-") {
			may = append(may, plain)
		}
	}
	if len(may) == 0 {
		return nil, "PubkeyAcceptedAlgorithms of your SSH configuration has none of its algorithms"
	}
	with, ok := s.(xssh.AlgorithmSigner)
	if !ok || kind != xssh.KeyAlgoRSA {
		return s, "" // It has one algorithm only.
	}
	only, err := xssh.NewSignerWithAlgorithms(with, may)
	if err != nil {
		return nil, err.Error()
	}
	return only, ""
}

// certificateSuffix ends the algorithms of certificates.
const certificateSuffix = "-cert-v01@openssh.com"

// tooShort says why an RSA key is not to be used; empty when it is, or when it is no RSA key.
func (a Algorithms) tooShort(key xssh.PublicKey) string {
	if bits := rsaBits(key); bits > 0 && bits < a.RSABits {
		return fmt.Sprintf("it has %d bits, and RequiredRSASize of your SSH configuration wants %d", bits, a.RSABits)
	}
	return ""
}

func rsaBits(key xssh.PublicKey) int {
	if cert, ok := key.(*xssh.Certificate); ok {
		key = cert.Key
	}
	held, ok := key.(xssh.CryptoPublicKey)
	if !ok {
		return 0
	}
	if public, ok := held.CryptoPublicKey().(*rsa.PublicKey); ok {
		return public.N.BitLen()
	}
	return 0
}
