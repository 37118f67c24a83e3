package vip

import "testing"

// FuzzWatchConfig: a configuration that is accepted can be watched by.
func FuzzWatchConfig(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"virtualIP":"10.0.0.9","address":"10.0.0.1","port":6443}`, `{"virtualIP":"fe80::1%x","address":"::1","port":1}`, `{"virtualIP":"x"}`, "{} {}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseWatchConfig(raw)
		if err == nil && (c.VirtualIP == "" || c.Address == "" || c.Port < 1 || c.Port > 65535 || c.CAFile == "" || c.HealthFile == "" || c.HolderFile == "") {
			t.Errorf("%+v", c)
		}
	})
}
