package addon

import (
	"bytes"
	"compress/gzip"
	"testing"
	"testing/fstest"
)

// FuzzUnpack: an addon that comes packed, out of the cluster, is valid or refused.
func FuzzUnpack(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"descriptor":{"name":"a"},"files":{"a.yaml":"eA=="}}`, "null", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var packed bytes.Buffer
		zw := gzip.NewWriter(&packed)
		if _, err := zw.Write(document); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		a, err := Unpack(packed.Bytes(), Digest(packed.Bytes()))
		if err == nil && a.Validate() != nil {
			t.Error("it is not valid")
		}
		// Not compressed at all.
		if _, err := Unpack(document, Digest(document)); err == nil && !bytes.HasPrefix(document, []byte{0x1f, 0x8b}) {
			t.Error("what is not compressed is unpacked")
		}
	})
}

// FuzzLoad: a folder of somebody's is an addon, or refused.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("name: a\nversion: v1\n"), []byte("apiVersion: v1\nkind: A\nmetadata: {name: b}\n"))
	f.Add([]byte("variants: {x: null}\n"), []byte(""))
	f.Add([]byte(""), []byte("{{"))
	f.Fuzz(func(t *testing.T, descriptor, manifest []byte) {
		a, err := Load(fstest.MapFS{DescriptorFile: {Data: descriptor}, "a.yaml": {Data: manifest}})
		if err == nil && a.Validate() != nil {
			t.Error("it is not valid")
		}
	})
}
