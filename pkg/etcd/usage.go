package etcd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// usagePage is how many keys are read at once: a page of the largest objects of Kubernetes
	// (1.5 MB) is some hundred MB at most.
	usagePage = 200
	// usageTimeout bounds one page.
	usageTimeout = 30 * time.Second
)

// Usage is what the keys below one prefix take.
type Usage struct {
	// Prefix is such as /registry/events/.
	Prefix string `json:"prefix"`
	Keys   int64  `json:"keys"`
	// Bytes is that of keys and values as they are now; older revisions that are not compacted
	// take room beside them.
	Bytes int64 `json:"bytes"`
}

// Usages reads every key once, a page at a time, from the first member that answers and does not
// lead, so that the leader has no work with it, and sums up by prefix; the largest come first. What was
// read until the limit is returned with whole false.
func (c *Client) Usages(ctx context.Context, limit time.Duration) (all []Usage, whole bool, err error) {
	asked, err := c.idle(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("read what fills etcd: %w", err)
	}
	end := time.Now().Add(limit)
	sums := map[string]*Usage{}
	for from := "\x00"; ; {
		one, cancel := context.WithTimeout(ctx, usageTimeout)
		got, err := asked.client.Get(one, from, clientv3.WithFromKey(), clientv3.WithLimit(usagePage), clientv3.WithSerializable(),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
		cancel()
		if err != nil {
			return nil, false, fmt.Errorf("read what fills etcd, at %s: %w", asked.url, err)
		}
		for _, kv := range got.Kvs {
			p := prefixOf(string(kv.Key))
			if sums[p] == nil {
				sums[p] = &Usage{Prefix: p}
			}
			sums[p].Keys++
			sums[p].Bytes += int64(len(kv.Key) + len(kv.Value))
			from = string(kv.Key) + "\x00"
		}
		if !got.More || time.Now().After(end) {
			whole = !got.More
			break
		}
	}
	for _, p := range slices.Sorted(maps.Keys(sums)) {
		all = append(all, *sums[p])
	}
	slices.SortStableFunc(all, func(a, b Usage) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return all, whole, nil
}

// idle is an endpoint that answers, a follower when there is one.
func (c *Client) idle(ctx context.Context) (endpoint, error) {
	status := c.Status(ctx)
	for i, s := range status {
		if s.Err == nil && s.ID != s.Leader && !s.Learner {
			return c.members[i], nil
		}
	}
	return c.asked(View{Status: status}, 0)
}

// prefixOf is a key's kind, as kube-apiserver writes keys: /registry/RESOURCE/ or
// /registry/GROUP/RESOURCE/, where a group has a dot. Other keys are by their first two
// elements. It is pure.
// https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go
func prefixOf(key string) string {
	parts := strings.Split(key, "/")
	depth := 3
	if len(parts) > 3 && strings.Contains(parts[2], ".") {
		depth = 4
	}
	if len(parts) <= depth {
		return key[:strings.LastIndex(key, "/")+1]
	}
	return strings.Join(parts[:depth], "/") + "/"
}
