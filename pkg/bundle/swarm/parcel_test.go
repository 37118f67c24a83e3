package swarm

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

func TestParcelThereAndBack(t *testing.T) {
	c := load(t, 70, 500, 400, 5*testPiece+1)
	p, err := Decode(c.encoded, c.blob)
	must(t, err)
	again, blob := p.Encode()
	if !bytes.Equal(again, c.encoded) || blob != c.blob || p.Size() != 900+5*testPiece+1 {
		t.Errorf("%d bytes became %d", len(c.encoded), len(again))
	}
}

// encoded is a parcel as somebody who lies might make it, with its right digest.
func encoded(p *Parcel) ([]byte, bundle.Blob) { return p.Encode() }

func TestParcelsThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*Parcel){
		"no pieces' size":     func(p *Parcel) { p.PieceSize = 0 },
		"negative pieces":     func(p *Parcel) { p.PieceSize = -1 },
		"huge pieces":         func(p *Parcel) { p.PieceSize = 1 << 40 },
		"no images":           func(p *Parcel) { p.Images, p.Blobs = nil, nil },
		"negative size":       func(p *Parcel) { p.Blobs[2].Size = -5 },
		"empty blob":          func(p *Parcel) { p.Blobs[2].Size, p.Blobs[2].Pieces = 0, nil },
		"absurd size":         func(p *Parcel) { p.Blobs[2].Size = 1 << 62 },
		"piece missing":       func(p *Parcel) { p.Blobs[2].Pieces = p.Blobs[2].Pieces[1:] },
		"piece too many":      func(p *Parcel) { p.Blobs[2].Pieces = append(p.Blobs[2].Pieces, make([]byte, 32)) },
		"short sum":           func(p *Parcel) { p.Blobs[2].Pieces[1] = []byte{1} },
		"only piece differs":  func(p *Parcel) { p.Blobs[0].Pieces[0] = make([]byte, 32) },
		"path for a digest":   func(p *Parcel) { p.Blobs[2].Digest = "sha256:../../../../etc/passwd" },
		"other algorithm":     func(p *Parcel) { p.Blobs[2].Digest = digest.SHA512.FromString("x") },
		"blob twice":          func(p *Parcel) { p.Blobs = append(p.Blobs, p.Blobs[0]) },
		"blob of no image":    func(p *Parcel) { p.Images[0].Blobs = p.Images[0].Blobs[:2] },
		"blob not there":      func(p *Parcel) { p.Blobs = p.Blobs[:2] },
		"other size":          func(p *Parcel) { p.Images[0].Blobs[2].Size++ },
		"no name":             func(p *Parcel) { p.Images[0].Ref = "" },
		"long name":           func(p *Parcel) { p.Images[0].Ref = string(bytes.Repeat([]byte{'x'}, 4096)) },
		"image twice":         func(p *Parcel) { p.Images = append(p.Images, p.Images[0]) },
		"manifest not first":  func(p *Parcel) { p.Images[0].Manifest = p.Images[0].Blobs[1] },
		"image without blobs": func(p *Parcel) { p.Images[0].Blobs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, 71, 500, 400, 5*testPiece)
			change(c.parcel)
			if _, err := Decode(encoded(c.parcel)); err == nil {
				t.Error("it was taken")
			}
		})
	}
	c := load(t, 71, 500, 400)
	for name, data := range map[string][]byte{
		"other bytes":   append([]byte(" "), c.encoded...),
		"unknown field": []byte(`{"images":[],"pieceSize":4194304,"blobs":[],"x":1}`),
		"more follows":  append(append([]byte{}, c.encoded...), "{}"...),
		"nothing":       {},
	} {
		if _, err := Decode(data, bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data))}); err == nil && name != "other bytes" {
			t.Errorf("%s: it was taken", name)
		}
		if _, err := Decode(data, c.blob); !errors.Is(err, errWrong) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestNewParcelReadsWhatItSays(t *testing.T) {
	for name, change := range map[string]func(b bundle.Blob, data []byte) []byte{
		"another byte": func(_ bundle.Blob, data []byte) []byte { data[7] ^= 1; return data },
		"too short":    func(_ bundle.Blob, data []byte) []byte { return data[:len(data)-1] },
		"too long":     func(_ bundle.Blob, data []byte) []byte { return append(data, 0) },
		"missing":      func(bundle.Blob, []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, 72, 500, 400, 3*testPiece)
			b := c.parcel.Blobs[2].Blob
			if data := change(b, bytes.Clone(c.source[b.Digest])); data == nil {
				delete(c.source, b.Digest)
			} else {
				c.source[b.Digest] = data
			}
			if _, err := NewParcelWith(t.Context(), nil, c.parcel.Images, c.source); err == nil {
				t.Error("no error")
			}
		})
	}
}

// FuzzDecode: what is taken can be laid out and encoded again.
func FuzzDecode(f *testing.F) {
	blob := func(s string) ParcelBlob {
		d := digest.FromString(s)
		raw := mustHex(d)
		return ParcelBlob{Blob: bundle.Blob{Digest: d, Size: int64(len(s))}, Pieces: [][]byte{raw}}
	}
	a, b := blob("manifest"), blob("config")
	good := &Parcel{PieceSize: 4096, Blobs: []ParcelBlob{a, b},
		Images: []bundle.Image{{Ref: "x", Manifest: a.Blob, Blobs: []bundle.Blob{a.Blob, b.Blob}}}}
	data, _ := good.Encode()
	f.Add(data)
	f.Add([]byte(`{"images":[{}],"pieceSize":1024,"blobs":[{"digest":"sha256:","size":-1,"pieces":[null]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data, bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data))})
		if err != nil {
			return
		}
		l := newLayout(p)
		var sum int64
		for piece := range l.pieces() {
			size := l.size(piece)
			if size <= 0 || size > maxPieceSize {
				t.Fatalf("piece %d has %d bytes", piece, size)
			}
			sum += size
		}
		if sum != p.Size() {
			t.Fatalf("the pieces have %d bytes, the blobs %d", sum, p.Size())
		}
		again, want := p.Encode()
		if _, err := Decode(again, want); err != nil {
			t.Fatal(err)
		}
	})
}

func mustHex(d digest.Digest) []byte {
	raw := make([]byte, 32)
	for i := range raw {
		for _, c := range d.Encoded()[2*i : 2*i+2] {
			raw[i] = raw[i]<<4 | byte(bytes.IndexRune([]byte("0123456789abcdef"), c))
		}
	}
	return raw
}

// FuzzFrames: neither end of a feed is harmed by what comes over it, and both
// end when the stream does.
func FuzzFrames(f *testing.F) {
	var out bytes.Buffer
	w := newFrames(struct {
		io.Reader
		io.Writer
		io.Closer
	}{nil, &out, io.NopCloser(nil)})
	_ = w.writeJSON(frameHello, hello{Version: feedVersion, Parcel: string(digest.FromString("x")), Size: 5})
	_ = w.writeData(askParcel, []byte("x"))
	_ = w.write(frameAsk, []byte{0, 0, 0, 0})
	_ = w.writeJSON(frameStatus, FeedStatus{})
	_ = w.write(framePing, nil)
	f.Add(out.Bytes())
	f.Add([]byte("D\xff\xff\xff\xff"))
	f.Add([]byte("B\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := func() io.ReadWriteCloser {
			return struct {
				io.Reader
				io.Writer
				io.Closer
			}{bytes.NewReader(data), io.Discard, io.NopCloser(nil)}
		}
		feeder := newFeeder(stream(), &Parcel{PieceSize: 4096}, memory{}, FeedOptions{})
		if err := feeder.read(); err == nil && !bytes.Contains(data, []byte{frameBye}) {
			t.Error("it ended well without a word")
		}
		p := &Peer{cfg: Config{Parcel: bundle.Blob{Digest: digest.FromString("x"), Size: 5}, Log: func(string) {}},
			tune: fastTuning(), changed: make(chan struct{}), feedAsked: map[int]bool{}}
		s := &seed{p: p, frames: newFrames(stream()), wrong: map[uint32]int{}, asked: []uint32{askParcel}}
		if err := s.read(t.Context()); err == nil {
			t.Error("it ended well")
		}
	})
}

// FuzzLearn: what another peer says does no harm.
func FuzzLearn(f *testing.F) {
	f.Add([]byte(`{"parcel":true,"all":"/w==","got":[3],"wants":"AQ==","feed":true,"complete":true}`))
	f.Add([]byte(`{"got":[-1]}`))
	f.Add([]byte(`{"got":[99999999]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var m have
		if json.Unmarshal(line, &m) != nil {
			return
		}
		p := &Peer{cfg: Config{Log: func(string) {}}, changed: make(chan struct{})}
		o := &other{}
		if p.learn(o, m, true) == nil {
			o.have.has(maxPieces)
			_ = o.have.without(nil)
		}
	})
}
