package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// Problem is something that stands in the way of another version, and what to do about it.
type Problem struct {
	// Member is its endpoint; empty when it is about all.
	Member  string `json:"member,omitempty"`
	Message string `json:"message"`
	Next    string `json:"next"`
}

// floors are the patch releases that upstream wants every member to have before the first goes
// to the minor version.
//
// Before 3.5.24 members are stuck as learners on the way to 3.6, and before 3.5.26 members that
// were removed come back, since 3.6 reads the membership from the v3 store, which older ones do
// not bring in line with the v2 store.
// https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/ https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/
// https://etcd.io/blog/2025/zombie_members_upgrade/
func floors() map[uint]string { return map[uint]string{6: "3.5.26", 7: "3.6.11"} }

// The minor versions of etcd 3 that members are brought from and to.
const (
	oldestMinor = 5
	newestMinor = 7
	// withoutV2 is the first that knows nothing of the v2 API.
	withoutV2 = 7
	// tellsStorage is the first whose members tell the version of what they store, and that
	// can be brought back by etcd's own downgrade.
	tellsStorage = 6
)

// ParseVersion reads v3.6.16 or 3.6.16.
func ParseVersion(text string) (*version.Version, error) {
	v, err := version.ParseSemantic(strings.TrimPrefix(text, "v"))
	if err != nil || v.Major() != 3 {
		return nil, fmt.Errorf("%q is not a version of etcd such as v3.6.16", text)
	}
	return v, nil
}

// MinorOf is 3.6 of v3.6.16; empty of what is no version.
func MinorOf(text string) string {
	v, err := ParseVersion(text)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("3.%d", v.Minor())
}

// NeedsNewLog tells whether RenewLog has to come before the first member goes to the target: it is the
// first without the v2 API, and a member is of an earlier one. It is pure.
func NeedsNewLog(v View, target string) bool {
	to, err := ParseVersion(target)
	if err != nil || to.Minor() < withoutV2 {
		return false
	}
	return slices.ContainsFunc(v.Status, func(s MemberStatus) bool {
		have, err := ParseVersion(s.Version)
		return err == nil && have.Minor() < withoutV2
	})
}

// Rounds are the versions to go through from the lowest that a member has, one minor version at
// a time: the target is the last. via are those of minor versions in between, in any order. It
// is pure.
func Rounds(have []string, target string, via []string) ([]string, error) {
	to, err := ParseVersion(target)
	if err != nil {
		return nil, err
	}
	if to.Minor() < oldestMinor || to.Minor() > newestMinor {
		return nil, fmt.Errorf("members are brought to versions from 3.%d to 3.%d, not to %s", oldestMinor, newestMinor, target)
	}
	lowest := to.Minor()
	for _, h := range have {
		v, err := ParseVersion(h)
		if err != nil {
			return nil, err
		}
		if to.LessThan(v) {
			return nil, fmt.Errorf("a member has %s already, which is newer than %s; one minor version back goes etcd's downgrade", h, target)
		}
		lowest = min(lowest, v.Minor())
	}
	if lowest < oldestMinor {
		return nil, fmt.Errorf("a member has 3.%d: bring it to 3.%d by hand first", lowest, oldestMinor)
	}
	var out []string
	for minor := lowest + 1; minor < to.Minor(); minor++ {
		i := slices.IndexFunc(via, func(v string) bool { return MinorOf(v) == fmt.Sprintf("3.%d", minor) })
		if i < 0 {
			return nil, fmt.Errorf("the way to %s is over 3.%d: one minor version at a time; name a version of it", target, minor)
		}
		out = append(out, "v"+strings.TrimPrefix(via[i], "v"))
	}
	return append(out, "v"+strings.TrimPrefix(target, "v")), nil
}

// CheckUpgrade says what keeps the members from going to a version, one minor version up at
// most. It is pure.
func CheckUpgrade(v View, target string) []Problem {
	to, err := ParseVersion(target)
	if err != nil {
		return []Problem{{Message: err.Error(), Next: "name a version such as v3.6.16"}}
	}
	out := unready(v)
	for _, s := range v.Status {
		if s.Err != nil {
			continue
		}
		have, err := ParseVersion(s.Version)
		if err != nil {
			out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s: %v", s.Endpoint, err), Next: "look at the member"})
			continue
		}
		out = append(out, step(s, have, to)...)
	}
	return out
}

// step judges one member's way up.
func step(s MemberStatus, have, to *version.Version) (out []Problem) {
	switch {
	case to.LessThan(have):
		out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s, which is newer than %s", s.Endpoint, have, to),
			Next: "name that version or a newer one; one minor version back goes kubectl ha etcd downgrade"})
	case to.Minor() > have.Minor()+1:
		out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s: %s is more than one minor version up", s.Endpoint, have, to),
			Next: fmt.Sprintf("go to 3.%d first", have.Minor()+1)})
	case to.Minor() == have.Minor()+1:
		if floor := version.MustParseSemantic(floorOf(to)); have.LessThan(floor) {
			out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s: before 3.%d every member has to have %s or later", s.Endpoint, have, to.Minor(), floor),
				Next: fmt.Sprintf("kubectl ha etcd upgrade to the newest 3.%d first (https://etcd.io/docs/v3.%d/upgrades/upgrade_3_%d/)", have.Minor(), to.Minor(), to.Minor())})
		}
		if have.Minor() >= tellsStorage && MinorOf(s.StorageVersion) != fmt.Sprintf("3.%d", have.Minor()) {
			out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s and %s", s.Endpoint, have, storing(s.StorageVersion)),
				Next: "wait until all members have been of one version for a minute"})
		}
	}
	if s.DowngradeTo != "" {
		out = append(out, Problem{Member: s.Endpoint, Message: "a downgrade to " + s.DowngradeTo + " is under way",
			Next: "bring it to its end with kubectl ha etcd downgrade, or take it back with kubectl ha etcd downgrade --cancel"})
	}
	return out
}

// BelowFloor is the version that every member has to have before the first one goes to a version, where a member
// has an older one; empty when it may go. It is pure.
func BelowFloor(have, to string) string {
	a, errA := ParseVersion(have)
	b, errB := ParseVersion(to)
	if errA != nil || errB != nil || b.Minor() != a.Minor()+1 {
		return ""
	}
	if floor := floorOf(b); a.LessThan(version.MustParseSemantic(floor)) {
		return floor
	}
	return ""
}

func floorOf(to *version.Version) string {
	if f, ok := floors()[to.Minor()]; ok {
		return f
	}
	return "0.0.0"
}

// storing says in words as which version a member stores.
func storing(version string) string {
	if version == "" {
		return "does not tell as which version it stores"
	}
	return "still stores as " + version + " does"
}

// unready is what has to be mended before any member is taken away: all have to be there, vote,
// and have raised no alarm.
func unready(v View) []Problem {
	var out []Problem
	for _, m := range v.Members {
		if m.Learner {
			out = append(out, Problem{Message: fmt.Sprintf("the member %s is a learner", m), Next: "finish the node add that it was added for, or take it out: kubectl ha node remove --etcd-member " + m.Handle()})
		}
	}
	for _, a := range v.Alarms() {
		next := "kubectl ha etcd alarm --fix"
		if a.Kind == AlarmCorrupt {
			next = "kubectl ha etcd check says which member differs; replace that one"
		}
		out = append(out, Problem{Message: fmt.Sprintf("the member %x has raised the alarm %s", a.MemberID, a.Kind), Next: next})
	}
	if err := Serving(v); err != nil && len(out) == 0 {
		out = append(out, Problem{Message: "etcd is not well: " + err.Error(), Next: "see to the members that are named first: kubectl ha etcd status"})
	}
	return out
}

// CheckDowngrade says what keeps the members from going to a version of one minor version below,
// or from going on with that. It is pure.
func CheckDowngrade(v View, target string) []Problem {
	to, err := ParseVersion(target)
	if err != nil {
		return []Problem{{Message: err.Error(), Next: "name a version such as v3.6.16"}}
	}
	out := unready(v)
	if to.Minor() < oldestMinor {
		out = append(out, Problem{Message: fmt.Sprintf("members are brought back to 3.%d at least", oldestMinor), Next: "restore a backup instead"})
	}
	for _, s := range v.Status {
		have, err := ParseVersion(s.Version)
		switch {
		case s.Err != nil || err != nil:
		case have.Minor() == to.Minor(): // It has gone already.
		case have.Minor() != to.Minor()+1:
			out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s: etcd goes back one minor version at a time, and not to %s", s.Endpoint, have, to),
				Next: fmt.Sprintf("go to 3.%d first, or restore a backup", max(have.Minor(), 1)-1)})
		case have.Minor() < tellsStorage:
			out = append(out, Problem{Member: s.Endpoint, Message: fmt.Sprintf("%s has %s: etcd can go back from 3.6 on", s.Endpoint, have), Next: "restore a backup instead"})
		}
		if s.DowngradeTo != "" && MinorOf(s.DowngradeTo) != MinorOf(target) {
			out = append(out, Problem{Message: "a downgrade to " + s.DowngradeTo + " is under way", Next: "take it back first: kubectl ha etcd downgrade --cancel"})
		}
	}
	return out
}

// Settled is nil when every member is of a version, and what they store is of its minor version,
// as far as members tell: only then etcd as a whole is of it. It is pure.
func Settled(v View, target string) error {
	want, err := ParseVersion(target)
	if err != nil {
		return err
	}
	for _, s := range v.Status {
		switch {
		case s.Err != nil:
			return fmt.Errorf("%s does not answer: %w", s.Endpoint, s.Err)
		case s.Version != want.String():
			return fmt.Errorf("%s has %s, not %s", s.Endpoint, s.Version, want)
		case want.Minor() >= tellsStorage && MinorOf(s.StorageVersion) != MinorOf(target):
			return fmt.Errorf("%s %s", s.Endpoint, storing(s.StorageVersion))
		case s.DowngradeTo != "":
			return fmt.Errorf("%s still has the downgrade to %s under way", s.Endpoint, s.DowngradeTo)
		}
	}
	return nil
}

// Moved tells whether etcd as a whole stores as a newer minor version than a member's does, so
// that the member can't come back with what it has. Members of before 3.6 do not tell, and then
// nothing has moved. It is pure.
func Moved(v View, member string) bool {
	have, err := ParseVersion(member)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(v.Status, func(s MemberStatus) bool {
		stored, err := ParseVersion(s.StorageVersion)
		return s.Err == nil && err == nil && stored.Minor() > have.Minor()
	})
}

// Lower has etcd store and speak as a lower minor version does, and waits until every member that
// tells has done so. It is etcd's own downgrade, of which members of the lower version are the
// rest. One that is under way is gone on with.
func (c *Client) Lower(ctx context.Context, to string, limit time.Duration, seen func(error)) error {
	minor := MinorOf(to)
	if minor == "" {
		return fmt.Errorf("%q is not a version of etcd such as v3.6.16", to)
	}
	v := c.View(ctx)
	if !lowering(v, minor) {
		if err := c.CanDowngrade(ctx, minor); err != nil {
			return err
		}
		if err := c.EnableDowngrade(ctx, minor); err != nil {
			return err
		}
	}
	_, err := c.wait(ctx, limit, "storing as "+minor+" does", func(v View) error { return stores(v, minor) }, seen)
	return err
}

// lowering tells whether a downgrade to a minor version is under way, or over.
func lowering(v View, minor string) bool {
	tell := slices.DeleteFunc(slices.Clone(v.Status), func(s MemberStatus) bool { return s.Err != nil || s.StorageVersion == "" })
	return slices.ContainsFunc(tell, func(s MemberStatus) bool { return MinorOf(s.DowngradeTo) == minor }) ||
		len(tell) == 0 && slices.ContainsFunc(v.Status, func(s MemberStatus) bool { return s.Err == nil && MinorOf(s.Version) == minor })
}

// stores is nil when every member stores as a minor version does, or is of it.
func stores(v View, minor string) error {
	var wrong []error
	for _, s := range v.Status {
		switch {
		case s.Err != nil:
			wrong = append(wrong, fmt.Errorf("%s does not answer: %w", s.Endpoint, s.Err))
		case MinorOf(s.Version) != minor && MinorOf(s.StorageVersion) != minor:
			wrong = append(wrong, fmt.Errorf("%s %s", s.Endpoint, storing(s.StorageVersion)))
		}
	}
	return errors.Join(wrong...)
}
