package ssh

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// raw keywords take the rest of the line as it is written: a command.
func raw(keyword string) bool {
	return slices.Contains([]string{"proxycommand", "knownhostscommand", "localcommand", "remotecommand"}, keyword)
}

// option takes a keyword's value, unless it has one: the first that is found
// counts, but for those that collect. Keywords that a login here does not need
// are none of its business.
func (e *evaluation) option(keyword, rest string, words []string, at string) {
	keyword = canonical(keyword)
	if raw(keyword) {
		words = []string{strings.TrimRight(rest, " \t\r\f")}
	}
	if len(words) == 0 || words[0] == "" {
		if wanted(keyword) {
			e.reader.warn(at + ": " + keyword + " without a value is passed over")
		}
		return
	}
	switch keyword {
	case "identityfile", "certificatefile":
		if !slices.Contains(e.set[keyword], words[0]) {
			e.set[keyword] = append(e.set[keyword], words[0])
		}
		return
	case "proxycommand", "proxyjump":
		// Whichever of the two comes first counts.
		if e.set["proxycommand"] != nil || e.set["proxyjump"] != nil {
			return
		}
	case "canonicalizehostname":
		if v := strings.ToLower(words[0]); v == "yes" || v == "always" {
			e.reader.warn(at + ": CanonicalizeHostname needs an OpenSSH client on the PATH; names are taken as they are written")
		}
		return
	}
	if !wanted(keyword) || e.set[keyword] != nil {
		return
	}
	value := words[0]
	switch keyword {
	case "userknownhostsfile", "globalknownhostsfile":
		value = strings.Join(words, " ")
	case "identitiesonly", "hashknownhosts", "proxyusefdpass":
		value = yesNo(value)
	case "pubkeyauthentication", "verifyhostkeydns":
		value = map[string]string{"yes": "true", "no": "false"}[yesNo(value)]
		if value == "" {
			value = strings.ToLower(words[0])
		}
	case "addressfamily":
		value = strings.ToLower(value)
	case "hostkeyalias":
		value = strings.ToLower(value)
	case "connecttimeout":
		n, ok := seconds(value)
		if !ok {
			if !strings.EqualFold(value, "none") {
				e.reader.warn(fmt.Sprintf("%s: ConnectTimeout %q is no time; it is passed over", at, value))
			}
			return
		}
		value = strconv.Itoa(n)
	}
	e.set[keyword] = []string{value}
}

// wanted are the keywords that a login here goes by.
func wanted(keyword string) bool {
	switch keyword {
	case "hostname", "user", "port", "userknownhostsfile", "globalknownhostsfile", "identityfile", "certificatefile",
		"identityagent", "identitiesonly", "hostkeyalias", "hashknownhosts", "revokedhostkeys", "knownhostscommand",
		"proxyjump", "proxycommand", "proxyusefdpass", "connecttimeout", "addressfamily", "bindaddress",
		"ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms", "casignaturealgorithms", "requiredrsasize",
		"pkcs11provider", "securitykeyprovider", "verifyhostkeydns", "pubkeyauthentication", "bindinterface":
		return true
	}
	return false
}

// canonical is a keyword's name of today, for one that is called otherwise in older
// configurations, and by older clients.
func canonical(keyword string) string {
	switch keyword {
	case "pubkeyacceptedkeytypes":
		return "pubkeyacceptedalgorithms"
	case "smartcarddevice":
		return "pkcs11provider"
	}
	return keyword
}

func yesNo(v string) string {
	switch strings.ToLower(v) {
	case "true":
		return "yes"
	case "false":
		return "no"
	}
	return strings.ToLower(v)
}
