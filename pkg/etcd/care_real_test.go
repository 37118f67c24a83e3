package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// realClient is a client of real members that are well.
func realClient(t *testing.T, n int) (*Client, []realMember) { return realClientWith(t, n) }

func realClientWith(t *testing.T, n int, flags ...string) (*Client, []realMember) {
	t.Helper()
	binary := realBinary(t)
	ca := newAuthority(t)
	members := startReal(t, binary, ca, n, flags...)
	var urls []string
	for _, m := range members {
		urls = append(urls, m.url)
	}
	cert, key := ca.issue(t, "client")
	c, err := Connect(t.Context(), urls, TLS{CA: ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	return c, members
}

// fillUp writes n values of size bytes, each of them twice.
func fillUp(t *testing.T, c *Client, n, size int) {
	t.Helper()
	for i := range 2 * n {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := c.members[0].client.Put(ctx, fmt.Sprintf("/registry/events/default/e%04d", i%n), strings.Repeat("x", size))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealCare: three members are looked at, compacted, defragmented with the leader last, and
// their data compared.
func TestRealCare(t *testing.T) {
	c, _ := realClient(t, 3)
	fillUp(t, c, 40, 64<<10)
	v := c.View(t.Context())
	leader := ""
	for _, s := range v.Status {
		if s.ID == s.Leader {
			leader = s.Endpoint
		}
		if s.InUseBytes == 0 || s.InUseBytes > s.DBBytes || s.Applied == 0 || MinorOf(s.Version) >= "3.6" && (s.QuotaBytes == 0 || s.StorageVersion == "") {
			t.Errorf("%+v lacks something", s)
		}
	}
	usage, whole, err := c.Usages(t.Context(), time.Minute)
	if err != nil || !whole || len(usage) != 1 || usage[0].Prefix != "/registry/events/" || usage[0].Keys != 40 || usage[0].Bytes < 40*64<<10 {
		t.Errorf("%+v %v %v", usage, whole, err)
	}
	newest, err := c.Revision(t.Context())
	if err != nil || newest < 80 {
		t.Fatalf("revision %d, %v", newest, err)
	}
	for range 2 { // Compacted already is no error.
		if err := c.Compact(t.Context(), newest); err != nil {
			t.Fatal(err)
		}
	}
	h, err := c.Compare(t.Context(), time.Minute)
	if err != nil || h.Err() != nil || len(h.Members) != 3 || h.Members[0].Hash == 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	var told []string
	done, err := c.DefragAll(t.Context(), 0, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatalf("%v; %v", err, told)
	}
	if len(done) != 3 || done[2].Endpoint != leader {
		t.Errorf("the leader %s is not the last: %+v", leader, done)
	}
	for _, d := range done {
		if d.Skipped != "" || d.After >= d.Before {
			t.Errorf("%+v", d)
		}
	}
	if v := c.View(t.Context()); v.Status[slices.IndexFunc(v.Status, func(s MemberStatus) bool { return s.Endpoint == leader })].Leader == 0 || Healthy(v) != nil {
		t.Errorf("after it: %v", Healthy(v))
	}
	again, err := c.DefragAll(t.Context(), 0.2, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range again {
		if d.Skipped == "" {
			t.Errorf("run again it does it again: %+v", d)
		}
	}
}

// TestRealCorruption: a member that holds other data than the others is named.
func TestRealCorruption(t *testing.T) {
	c, members := realClient(t, 3)
	fillUp(t, c, 3, 100)
	// So that the file has it, and not only the log.
	if err := c.Defragment(t.Context(), members[1].url); err != nil {
		t.Fatal(err)
	}
	members[1].stop()
	h, err := c.Compare(t.Context(), 30*time.Second)
	if err == nil && (h.Err() == nil || !strings.Contains(h.Err().Error(), members[1].url)) {
		t.Errorf("with one away: %+v", h)
	}
	spoil(t, filepath.Join(members[1].dir, "member", "snap", "db"))
	members[1].start()
	if _, err := c.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	h, err = c.Compare(t.Context(), time.Minute)
	if err != nil || !slices.Equal(h.Differs, []string{members[1].url}) || h.Unclear || h.Err() == nil {
		t.Errorf("%+v, %v", h, err)
	}
}

// spoil changes one value in a database that nobody has open.
func spoil(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketKey)
		k, v := b.Cursor().Last()
		changed := slices.Clone(v)
		changed[len(changed)/2]++ // Within the value, which is 100 times x.
		return b.Put(slices.Clone(k), changed)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRealNoSpace: a full etcd takes writes again after compaction, defragmentation and disarming,
// in this order.
func TestRealNoSpace(t *testing.T) {
	const quota = 8 << 20
	c, _ := realClientWith(t, 3, "--quota-backend-bytes", fmt.Sprint(quota))
	value := strings.Repeat("x", 256<<10)
	put := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := c.members[0].client.Put(ctx, "/registry/events/default/one", value)
		return err
	}
	var err error
	for range 200 {
		if err = put(); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("etcd never got full")
	}
	if _, err := c.wait(t.Context(), 30*time.Second, "full", func(v View) error {
		if len(v.Alarms()) == 0 {
			return fmt.Errorf("no alarm is raised")
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	v := c.View(t.Context())
	if v.Alarms()[0].Kind != AlarmNoSpace || Serving(v) != nil || Healthy(v) == nil {
		t.Fatalf("%+v", v.Alarms())
	}
	newest, err := c.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Compact(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DefragAll(t.Context(), 0, func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	if put() == nil {
		t.Error("it takes writes although the alarm is still raised")
	}
	for _, a := range c.View(t.Context()).Alarms() {
		for range 2 { // Gone already is no error.
			if err := c.Disarm(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := put(); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := c.Disarm(t.Context(), Alarm{Kind: "NONESUCH"}); err == nil {
		t.Error("an alarm that does not exist")
	}
}

// TestRealMoveLeader: whoever leads hands over to who is preferred; who does not lead is left so.
func TestRealMoveLeader(t *testing.T) {
	c, _ := realClient(t, 3)
	lead := func() string {
		for _, s := range c.View(t.Context()).Status {
			if s.Err == nil && s.ID == s.Leader {
				return s.Endpoint
			}
		}
		return ""
	}
	first := lead()
	other := c.members[slices.IndexFunc(c.members, func(m endpoint) bool { return m.url != first })].url
	if moved, err := c.MoveLeader(t.Context(), other, nil, time.Minute, nil); moved || err != nil || lead() != first {
		t.Errorf("a follower hands over: %v, %v", moved, err)
	}
	if moved, err := c.MoveLeader(t.Context(), first, []string{other}, time.Minute, nil); !moved || err != nil || lead() != other {
		t.Errorf("%v, %v, leads %s, want %s", moved, err, lead(), other)
	}
	if _, err := c.MoveLeader(t.Context(), "https://127.0.0.1:1", nil, time.Second, nil); err == nil {
		t.Error("one that was not asked")
	}
}
